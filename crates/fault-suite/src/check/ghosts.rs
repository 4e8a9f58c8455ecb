//! Members that do not come back are gone from every roster within lease + grace + 5 s.
//!
//! Counted from when their socket went or, if later, from when a node was able to observe it: not
//! while Redis, the nodes or what lies between them are under a fault.

use std::collections::HashMap;

use super::Violation;
use super::faults::{FaultPeriod, faults};
use super::model::Model;
use super::presence::{Presence, State};
use crate::history::{FaultKind, Joined, Peer, SUITE, Seen, What};

/// What is granted beyond lease and grace, in microseconds.
const SLACK: u64 = 5_000_000;
/// An observer that has been connected for this long has been told of everything (microseconds).
const CAUGHT_UP: u64 = 5_000_000;

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let presence = Presence::new(model);
    let faults = faults(model);
    let end = model.events.last().map_or(0, |event| event.at);
    let deadlines: HashMap<Peer, u64> = vanished(model)
        .map(|(peer, at)| (peer, deadline(at, model, &faults)))
        .filter(|(_, deadline)| *deadline < end)
        .collect();
    views(model)
        .into_iter()
        .filter_map(|view| view.fault(deadlines.get(&view.of).copied()?, &presence))
        .collect()
}

/// Who went for good, and when.
fn vanished(model: &Model<'_>) -> impl Iterator<Item = (Peer, u64)> {
    let mut who: HashMap<u32, Peer> = HashMap::new();
    model.events.iter().filter_map(move |event| match &event.what {
        What::Joined(joined) => {
            who.insert(event.who, joined.peer);
            None
        }
        What::Vanished | What::Leaving => Some((*who.get(&event.who)?, event.at)),
        _ => None,
    })
}

/// Until when somebody who vanished `at` this time must be gone.
fn deadline(at: u64, model: &Model<'_>, faults: &[FaultPeriod]) -> u64 {
    // A clock that was set prolongs absences by up to the grace (docs/decisions/0019), as long as it may be behind the log.
    let set = faults
        .iter()
        .any(|fault| fault.kind.sets_clock() && fault.from <= at + 2 * model.settings.grace);
    let longer = if set { model.settings.grace } else { 0 };
    let within = model.settings.lease + model.settings.grace + longer + SLACK;
    let hinders = |kind: FaultKind| kind.affects_redis() || is_of_nodes(kind);
    let mut from = at;
    // Sorted by their beginning, so that each may push the deadline into the next.
    for fault in faults.iter().filter(|fault| hinders(fault.kind)) {
        if fault.from <= from + within && fault.to >= from {
            from = fault.to;
        }
    }
    from.saturating_add(within)
}

fn is_of_nodes(kind: FaultKind) -> bool {
    // The fault itself is over when the node is up again, and what it interrupted begins anew.
    matches!(kind, FaultKind::KillNode | FaultKind::RestartNode | FaultKind::RollingRestart)
}

/// For how long one member had another in its roster.
struct View {
    by: Peer,
    of: Peer,
    from: u64,
    to: u64,
}

impl View {
    fn fault(&self, deadline: u64, presence: &Presence) -> Option<Violation> {
        let held = self.from <= deadline && deadline < self.to;
        let Some(State::Live { since, .. }) = presence.at(self.by, deadline) else { return None };
        let what = format!("{} still has {} in its roster, which is gone", self.by, self.of);
        (held && since + CAUGHT_UP <= deadline).then(|| Violation::new(deadline, what))
    }
}

fn views(model: &Model<'_>) -> Vec<View> {
    let mut observers: HashMap<u32, Observer> = HashMap::new();
    for event in model.events.iter().filter(|event| event.who != SUITE) {
        observers.entry(event.who).or_default().observe(event.at, &event.what);
    }
    observers.into_values().flat_map(Observer::end).collect()
}

/// Follows the roster of one client.
#[derive(Default)]
struct Observer {
    me: Option<Peer>,
    roster: HashMap<Peer, u64>,
    views: Vec<View>,
}

impl Observer {
    fn observe(&mut self, at: u64, what: &What) {
        match what {
            What::Joined(joined) => self.joined(at, joined),
            What::Reset { roster, .. } => self.replace(at, roster),
            What::PeerJoined { seen, .. } => {
                self.roster.entry(seen.peer).or_insert(at);
            }
            What::PeerLeft { peer, .. } => self.remove(at, *peer),
            What::Leaving | What::Vanished | What::Ended { .. } | What::Stopped { .. } => {
                self.replace(at, &[]);
            }
            _ => {}
        }
    }

    fn joined(&mut self, at: u64, joined: &Joined) {
        self.me = Some(joined.peer);
        if let Some(roster) = &joined.roster {
            self.replace(at, roster);
        }
    }

    fn replace(&mut self, at: u64, roster: &[Seen]) {
        let gone =
            self.roster.keys().copied().filter(|peer| roster.iter().all(|s| s.peer != *peer));
        for peer in gone.collect::<Vec<_>>() {
            self.remove(at, peer);
        }
        for seen in roster {
            self.roster.entry(seen.peer).or_insert(at);
        }
    }

    fn remove(&mut self, at: u64, peer: Peer) {
        if let (Some(from), Some(by)) = (self.roster.remove(&peer), self.me) {
            self.views.push(View { by, of: peer, from, to: at });
        }
    }

    fn end(mut self) -> Vec<View> {
        self.replace(u64::MAX, &[]);
        self.views
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, CY, HistoryBuilder, found};

    #[test]
    fn a_ghost_that_goes_in_time_is_fine() {
        let story =
            HistoryBuilder::three().vanish(CY).wait(30).timeout(ANA, CY, 8).timeout(BO, CY, 8);
        assert_eq!(found(check, story.wait(60)), 0);
    }

    #[test]
    fn twin_a_ghost_that_stays_with_one_of_two_is_found() {
        let story = HistoryBuilder::three().vanish(CY).wait(30).timeout(ANA, CY, 8);
        assert_eq!(found(check, story.wait(60)), 1);
    }

    #[test]
    fn a_disconnected_member_cannot_be_told() {
        let story = HistoryBuilder::three().vanish(CY).closed(BO).wait(30).timeout(ANA, CY, 8);
        assert_eq!(found(check, story.wait(60)), 0);
    }

    #[test]
    fn a_clock_that_is_set_grants_the_grace_once_more() {
        let story =
            HistoryBuilder::three().vanish(CY).fault(FaultKind::StepClock).healed().wait(65);
        let story = story.timeout(ANA, CY, 8).timeout(BO, CY, 8);
        assert_eq!(found(check, story.wait(60)), 0);
    }

    #[test]
    fn twin_a_ghost_that_stays_for_longer_than_that_is_found() {
        let story =
            HistoryBuilder::three().vanish(CY).fault(FaultKind::StepClock).healed().wait(80);
        let story = story.timeout(ANA, CY, 8).timeout(BO, CY, 8);
        assert_eq!(found(check, story.wait(60)), 2);
    }

    #[test]
    fn a_fault_of_redis_grants_more_time() {
        let story =
            HistoryBuilder::three().vanish(CY).fault(FaultKind::StallRedis).wait(50).healed();
        let story = story.wait(10).timeout(ANA, CY, 8).timeout(BO, CY, 8);
        assert_eq!(found(check, story.wait(60)), 0);
    }
}
