//! Attempts to connect, put together from the reports of one side.

use signal_protocol::PeerId;
use signal_protocol::report::{CallReport, CallState, EndReason};

use super::event::{Event, Line};

/// How far the begin of an attempt may differ between two reports of it (ms): the time that a frame takes, and a page that is
/// loaded again begins to count anew.
const SAME_BEGIN: u64 = 5_000;

/// One attempt of `peer` to connect to `about`.
pub(super) struct Attempt<'a> {
    pub(super) peer: &'a PeerId,
    pub(super) about: &'a PeerId,
    /// When it began, in milliseconds since 1970 by the node's clock.
    pub(super) began: u64,
    /// When it was reported last.
    pub(super) until: u64,
    /// How far the clock of the device is ahead of the node's (ms).
    pub(super) skew: i64,
    first: &'a CallReport,
    /// The last report, which says all that the earlier ones said.
    pub(super) last: &'a CallReport,
    states: Vec<CallState>,
}

impl<'a> Attempt<'a> {
    fn new(
        (peer, about): (&'a PeerId, &'a PeerId),
        (at, skew): (u64, i64),
        call: &'a CallReport,
    ) -> Self {
        let began = at.saturating_sub(call.now.into());
        Self {
            peer,
            about,
            began,
            until: at,
            skew,
            first: call,
            last: call,
            states: vec![call.state],
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        let is_near = self.began.abs_diff(other.began) <= SAME_BEGIN;
        (self.peer, self.about, self.first.attempt)
            == (other.peer, other.about, other.first.attempt)
            && is_near
    }

    /// Tells whether it was reported to be in this state at any time.
    pub(super) fn was(&self, state: CallState) -> bool {
        self.states.contains(&state)
    }

    /// Tells whether media could flow at any time.
    pub(super) fn connected(&self) -> bool {
        self.last.connected.is_some()
    }

    /// Tells whether another attempt took its place, so that it says nothing by itself.
    pub(super) fn is_replaced(&self) -> bool {
        self.last.reason == Some(EndReason::Restarted)
    }

    /// Tells whether the last that was reported of the path is that it was found again.
    pub(super) fn was_last_recovered(&self) -> bool {
        let is_path =
            |state: &&CallState| matches!(state, CallState::Failed | CallState::Recovered);
        self.states.iter().rev().find(is_path) == Some(&CallState::Recovered)
    }

    /// Tells whether media never could flow, although there was time for it.
    pub(super) fn came_to_nothing(&self) -> bool {
        let has_ended = [CallState::Failed, CallState::Pending, CallState::Ended];
        !self.connected() && !self.is_replaced() && has_ended.iter().any(|state| self.was(*state))
    }

    /// Tells whether the two ran at the same time.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.began <= other.until && other.began <= self.until
    }

    /// Returns the moment `after` milliseconds into the attempt.
    pub(super) fn moment(&self, after: u32) -> u64 {
        self.began + u64::from(after)
    }
}

/// Returns the attempts of a room in the order in which they began to be reported.
pub(super) fn attempts(lines: &[Line]) -> Vec<Attempt<'_>> {
    let mut all: Vec<Attempt<'_>> = Vec::new();
    for Line { at, event } in lines {
        let Event::Report { peer, about: Some(about), skew, call: Some(call), .. } = event else {
            continue;
        };
        let found = Attempt::new((peer, about), (*at, *skew), call);
        match all.iter_mut().rev().find(|known| known.is_same(&found)) {
            Some(known) => {
                known.until = known.until.max(*at);
                known.last = call;
                known.states.push(call.state);
            }
            None => all.push(found),
        }
    }
    all
}
