//! The calls that a connection has begun.

use signal_protocol::{CallId, Subject};

use crate::room::RoomHandle;

/// The calls of one connection, with the inboxes of their callees.
#[derive(Default)]
pub(super) struct OutgoingCalls(Vec<(CallId, Subject, RoomHandle)>);

impl OutgoingCalls {
    /// Returns how many there are beside this one.
    pub(super) fn others(&self, call: &CallId) -> usize {
        self.0.iter().filter(|(held, ..)| held != call).count()
    }

    pub(super) fn insert(&mut self, call: CallId, to: Subject, handle: RoomHandle) {
        self.remove(&call);
        self.0.push((call, to, handle));
    }

    pub(super) fn remove(&mut self, call: &CallId) {
        self.0.retain(|(held, ..)| held != call);
    }

    /// Returns the call to a user.
    pub(super) fn to(&self, user: &Subject) -> Option<&CallId> {
        self.0.iter().find_map(|(call, to, _)| (to == user).then_some(call))
    }

    pub(super) fn handles(&self) -> impl Iterator<Item = &RoomHandle> {
        self.0.iter().map(|(_, _, handle)| handle)
    }
}
