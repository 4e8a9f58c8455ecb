//! The promises of docs/PROTOCOL.md, as functions from a history to its violations.
//!
//! Each has a file, and its negative twins beside it: histories in which it must find something.
//! `tests/mutations.rs` holds more of them, made from a good history by one change each.

mod announcements;
mod capacity;
mod delivery_resumes;
mod exactly_once;
mod faults;
mod ghosts;
mod health_follows;
mod keys_end;
mod metas_converge;
mod model;
mod moderation;
mod no_flap;
mod no_live_removed;
mod no_needless_recovery;
mod no_silent_gap;
mod one_offerer;
mod order;
mod presence;
mod rosters_converge;
#[cfg(test)]
mod testing;
mod under_attack;

use std::fmt;

use serde::Serialize;

use crate::history::History;
use model::Model;

pub use under_attack::AttackEffect;

/// Something that a promise rules out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// When, in microseconds since the run began.
    pub at: u64,
    /// What, naming the members and events that prove it.
    pub what: String,
}

impl Violation {
    fn new(at: u64, what: impl fmt::Display) -> Self {
        Self { at, what: what.to_string() }
    }
}

impl fmt::Display for Violation {
    #[expect(clippy::cast_precision_loss, reason = "a run lasts minutes")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s: {}", self.at as f64 / 1e6, self.what)
    }
}

/// A promise, and the function that finds where a history breaks it.
type Check = (&'static str, fn(&Model<'_>) -> Vec<Violation>);

/// All promises that can be seen from outside.
const CHECKS: &[Check] = &[
    ("one_offerer", one_offerer::check),
    ("order", order::check),
    ("exactly_once", exactly_once::check),
    ("no_silent_gap", no_silent_gap::check),
    ("capacity", capacity::check),
    ("rosters_converge", rosters_converge::check),
    ("ghosts", ghosts::check),
    ("no_live_removed", no_live_removed::check),
    ("no_flap", no_flap::check),
    ("no_needless_recovery", no_needless_recovery::check),
    ("delivery_resumes", delivery_resumes::check),
    ("health_follows", health_follows::check),
    ("keys_end", keys_end::check),
    ("metas_converge", metas_converge::check),
    ("announcements", announcements::check),
    ("moderation", moderation::check),
    ("under_attack", under_attack::check),
];

/// What one check found.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub check: &'static str,
    /// Where it was broken; empty if it was kept.
    pub violations: Vec<Violation>,
}

/// Runs all checks over a history.
#[must_use]
pub fn all(history: &History) -> Vec<Verdict> {
    let model = Model::new(history);
    let run = |(check, find): &Check| {
        let mut violations = find(&model);
        violations.sort_by_key(|violation| violation.at);
        Verdict { check, violations }
    };
    CHECKS.iter().map(run).collect()
}

/// The names of the checks that found something.
#[must_use]
pub fn broken(history: &History) -> Vec<&'static str> {
    let verdicts = all(history).into_iter();
    verdicts.filter(|verdict| !verdict.violations.is_empty()).map(|verdict| verdict.check).collect()
}
