//! What is done to a cluster, and what is expected of it: one file per scenario.

mod bad_members;
mod calls;
mod chaos;
mod fault_sequence;
mod health_watch;
mod kill;
mod measure;
mod moderation;
mod outage;
mod redis_life;
mod rig;
mod rolling;
mod sdk_members;
mod slow_reader;
mod strangers;
mod under_attack;

pub use bad_members::{BadMembers, Without, bad_members};
pub use calls::{CallFigures, CallReport, Calls, calls};
pub use chaos::{Chaos, chaos};
pub use kill::{ghosts, kill};
pub use outage::{stall, wipe};
pub use redis_life::{
    clock_steps, long_outage, long_pause, lost_keys, lost_primary, old_snapshot, redis_cluster,
    refused_writes, role_change, silent_connection, slow,
};
pub use rig::{Options, Rig, ScenarioSettings};
pub use rolling::rolling;
pub use slow_reader::slow_reader;
pub use strangers::{Strangers, strangers};
pub use under_attack::AttackPlan;

use std::io;
use std::time::Duration;

use self::health_watch::HealthWatch;
use crate::check;
use crate::cluster::ProcessError;
use crate::history::History;
use crate::nemesis::NemesisError;
use crate::report::{Figure, Outcome};

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
    /// The members over the SDK ended, or said what they should not.
    #[error("the members over the SDK failed; what they printed says why")]
    Sdk,
    /// There is no place for logs.
    #[error("the folder for logs cannot be made: {0}")]
    Folder(io::Error),
}

/// What a scenario leaves behind.
#[expect(missing_docs, reason = "the names say it all")]
pub struct Report {
    pub outcome: Outcome,
    /// What happened, if the cluster ever ran.
    pub history: Option<History>,
}

impl Report {
    /// Judges a run: all checks, and what the scenario measures if it came to its end.
    fn new<T>(
        name: &str,
        options: &Options,
        history: Option<History>,
        ended: Result<T, ScenarioError>,
        figures: impl FnOnce(&History, T) -> Vec<Figure>,
    ) -> Self {
        let verdicts = history.as_ref().map(check::all).unwrap_or_default();
        let (figures, failure) = match (&history, ended) {
            (Some(history), Ok(measured)) => (figures(history, measured), None),
            (_, Err(failure)) => (Vec::new(), Some(failure.to_string())),
            (None, Ok(_)) => (Vec::new(), Some("there is no history".to_owned())),
        };
        let outcome = Outcome::new(name, options.seed, failure, figures, &verdicts);
        Self { outcome, history }
    }
}

/// Starts a cluster, has something done to it, and ends it.
async fn stage<T>(
    name: &str,
    options: &Options,
    settings: &ScenarioSettings,
    act: impl AsyncFnOnce(&mut Rig) -> Result<T, ScenarioError>,
) -> (Option<History>, Result<T, ScenarioError>) {
    eprintln!("{name}: seed {}", options.seed);
    let mut rig = match Rig::start(name, options, settings).await {
        Ok(rig) => rig,
        Err(error) => return (None, Err(error)),
    };
    let watch = HealthWatch::start(&rig.cluster, rig.context.recorder.suite());
    let acted = act(&mut rig).await;
    drop(watch);
    let reported = rig.report().await;
    match acted {
        Ok(measured) => (Some(rig.finish().await), reported.map(|()| measured)),
        Err(error) => (Some(rig.abandon()), Err(error)),
    }
}
