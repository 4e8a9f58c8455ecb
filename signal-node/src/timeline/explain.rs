//! Applies the rules to a timeline.

use std::collections::HashMap;

use signal_protocol::PeerId;

use super::attempt::{Attempt, attempts};
use super::event::{Event, Line};
use super::finding::{Case, Finding};
use super::rules;

/// Explains what went wrong in a room; the lines are in the order of their times.
#[must_use]
pub fn findings(lines: &[Line]) -> Vec<Finding> {
    let names = names(lines);
    let attempts = attempts(lines);
    let mut all: Vec<Finding> = Vec::new();
    for mine in &attempts {
        let is_other = |other: &&Attempt<'_>| {
            (other.peer, other.about) == (mine.about, mine.peer) && other.overlaps(mine)
        };
        let theirs =
            attempts.iter().filter(is_other).min_by_key(|other| other.began.abs_diff(mine.began));
        let case = Case { mine, theirs, lines, names: &names };
        all.extend(rules::of_attempt(&case));
    }
    all.extend(rules::of_devices(lines, &names));
    all.sort_by_key(|finding| finding.at);
    all
}

/// Returns the subjects of the members.
fn names(lines: &[Line]) -> HashMap<&PeerId, &str> {
    let named = lines.iter().filter_map(|line| match &line.event {
        Event::Joined { peer, user, .. } => Some((peer, user.as_deref()?)),
        Event::Away { .. }
        | Event::Back { .. }
        | Event::Left { .. }
        | Event::Reset { .. }
        | Event::Report { .. } => None,
    });
    named.collect()
}
