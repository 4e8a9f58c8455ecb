//! This program in its other role, as the floor (see [`crate::floor`]).

use super::process::{Process, on_first_core};
use crate::problem::Problem;

pub(super) async fn start() -> Result<Process, Problem> {
    let mut command = on_first_core(std::env::current_exe()?);
    Process::start("the floor", command.arg("floor")).await
}
