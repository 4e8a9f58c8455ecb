//! Where each member's socket was at a time, in its own view.

use std::collections::HashMap;

use super::model::Model;
use crate::history::{LeaveReason, Peer, SUITE, What};

/// What a member's socket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It holds the membership since this place in the log.
    Live { since: u64, seq: u64 },
    /// It was lost at this time and is to be replaced.
    Lost { since: u64 },
    /// It was given up on purpose: by leaving, vanishing, or because the cluster ended it.
    GivenUp,
}

/// Every change of state, by member, in the order of time.
pub(super) struct Presence(HashMap<Peer, Vec<(u64, State)>>);

impl Presence {
    pub(super) fn new(model: &Model<'_>) -> Self {
        let mut changes: HashMap<Peer, Vec<(u64, State)>> = HashMap::new();
        let mut who: HashMap<u32, Peer> = HashMap::new();
        for event in model.events.iter().filter(|event| event.who != SUITE) {
            if let What::Joined(joined) = &event.what {
                who.insert(event.who, joined.peer);
            }
            let Some(peer) = who.get(&event.who) else { continue };
            let states = changes.entry(*peer).or_default();
            let state = match (&event.what, states.last()) {
                // A handover between two sockets leaves the membership live throughout.
                (What::Joined(joined), Some((_, State::Live { since, .. }))) => {
                    State::Live { since: *since, seq: joined.seq }
                }
                (What::Joined(joined), _) => State::Live { since: event.at, seq: joined.seq },
                (What::Closed { .. }, _) => State::Lost { since: event.at },
                (What::Leaving | What::Vanished | What::Ended { .. } | What::Stopped { .. }, _) => {
                    State::GivenUp
                }
                _ => continue,
            };
            states.push((event.at, state));
        }
        Self(changes)
    }

    /// The state of a member at a time, if it had joined by then.
    pub(super) fn at(&self, peer: Peer, at: u64) -> Option<State> {
        let states = self.0.get(&peer)?;
        let next = states.partition_point(|(changed, _)| *changed <= at);
        Some(states[next.checked_sub(1)?].1)
    }

    /// The changes of a member, in the order of time.
    pub(super) fn changes(&self, peer: Peer) -> &[(u64, State)] {
        self.0.get(&peer).map_or(&[], Vec::as_slice)
    }

    /// The members there ever were.
    pub(super) fn peers(&self) -> impl Iterator<Item = Peer> {
        self.0.keys().copied()
    }
}

/// A member's removal, as first seen by another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removal {
    pub(super) at: u64,
    pub(super) seq: u64,
    pub(super) peer: Peer,
    pub(super) reason: LeaveReason,
    pub(super) by: u32,
}

pub(super) fn removals(model: &Model<'_>) -> Vec<Removal> {
    let mut seen: HashMap<(Peer, u64), Removal> = HashMap::new();
    for event in model.events {
        if let What::PeerLeft { seq, peer, reason } = event.what {
            let removal = Removal { at: event.at, seq, peer, reason, by: event.who };
            seen.entry((peer, seq)).or_insert(removal);
        }
    }
    seen.into_values().collect()
}
