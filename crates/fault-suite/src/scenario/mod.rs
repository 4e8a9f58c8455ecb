//! What is done to a cluster, and what is expected of it: one file per scenario.

mod chaos;
mod rig;

pub use chaos::{Chaos, chaos, figures as chaos_figures};
pub use rig::{Options, Rig, Wishes};

use std::io;
use std::time::Duration;

use crate::cluster::ProcessError;
use crate::nemesis::NemesisError;

/// Why a scenario did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A process could not be had.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A fault could not be brought about.
    #[error(transparent)]
    Nemesis(#[from] NemesisError),
    /// The cluster did not do its part in time.
    #[error("not within {1:?}: {0}")]
    Late(&'static str, Duration),
    /// There is no place for logs.
    #[error("the folder for logs cannot be made: {0}")]
    Folder(io::Error),
}
