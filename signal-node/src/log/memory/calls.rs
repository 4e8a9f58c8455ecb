//! The calls of an inbox.

use std::collections::BTreeMap;
use std::time::Duration;

use signal_protocol::{CallEnd, CallId, RoomId, Subject};

use super::stream::Append;
use crate::log::{
    CALL_LIFE, CALLS_REMEMBERED, CallChange, CallEvent, CallState, CallView, Entry, MissedReason,
    Payload, Ring, RoomEvent,
};

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) from: Subject,
    to: Subject,
    room: RoomId,
    pub(super) state: CallState,
    /// Until when it rings, gives its right or is remembered.
    pub(super) until: Duration,
    data: Option<Payload>,
}

impl Call {
    /// Makes one that rings from now on, and appends the entry that says so.
    pub(super) fn begin(ring: &Ring, devices: usize, now: Duration, append: &mut Append) -> Self {
        let Ring { call, from, to, room, timeout, data } = ring.clone();
        let (state, until) = (CallState::Ringing, now + timeout);
        let begun = Self { from, to, room, state, until, data };
        append.push(Entry::Call(Box::new(begun.view(&call, now))));
        append.tell(begun.event(&call, CallChange::Ringing(devices)));
        if devices == 0 {
            append.tell(begun.event(&call, CallChange::Missed(MissedReason::Offline)));
        }
        begun
    }

    fn event(&self, call: &CallId, change: CallChange) -> RoomEvent {
        let (from, to, room) = (self.from.clone(), self.to.clone(), self.room.clone());
        RoomEvent::Call(Box::new(CallEvent { call: call.clone(), from, to, room, change }))
    }

    pub(super) fn view(&self, call: &CallId, now: Duration) -> CallView {
        CallView {
            call: call.clone(),
            from: self.from.clone(),
            room: self.room.clone(),
            state: self.state.clone(),
            left: self.until.saturating_sub(now),
            data: self.data.clone().filter(|_| self.state == CallState::Ringing),
        }
    }

    /// Changes the state, and appends the entry that says so.
    pub(super) fn change(
        &mut self,
        call: &CallId,
        state: CallState,
        now: Duration,
        append: &mut Append,
    ) {
        let is_accepted = matches!(state, CallState::Accepted(_));
        let change = change(&self.state, &state);
        self.state = state;
        self.until = now + if is_accepted { CALL_LIFE } else { CALLS_REMEMBERED };
        append.push(Entry::Call(Box::new(self.view(call, now))));
        if let Some(change) = change {
            append.tell(self.event(call, change));
        }
    }
}

/// Returns what back ends are told of a change; no call begins to ring again.
fn change(before: &CallState, after: &CallState) -> Option<CallChange> {
    match (before, after) {
        (_, CallState::Ringing) => None,
        (_, CallState::Accepted(device)) => Some(CallChange::Accepted(device.clone())),
        (CallState::Ringing, CallState::Ended(end)) => Some(CallChange::end_of_ringing(*end)),
        (CallState::Accepted(_) | CallState::Ended(_), CallState::Ended(end)) => {
            Some(CallChange::Ended(*end))
        }
    }
}

/// The calls of one inbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(pub(super) BTreeMap<CallId, Call>);

impl Calls {
    /// Ends the calls that have rung for long enough, and forgets those that were over.
    pub(super) fn expire(&mut self, now: Duration, append: &mut Append) {
        for (id, call) in &mut self.0 {
            if call.state == CallState::Ringing && call.until <= now {
                call.change(id, CallState::Ended(CallEnd::Timeout), now, append);
            }
        }
        self.0.retain(|_, call| now < call.until);
    }

    pub(super) fn ringing(&self) -> usize {
        self.0.values().filter(|call| call.state == CallState::Ringing).count()
    }
}
