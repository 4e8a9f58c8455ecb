//! This program in its other role, as an echo (see [`crate::echo`]).

use super::process::{Process, on_first_core};
use crate::problem::Problem;

pub(crate) async fn start(carrier: &str) -> Result<Process, Problem> {
    let mut command = on_first_core(std::env::current_exe()?);
    Process::start("the echo", command.arg("echo").arg(carrier)).await
}
