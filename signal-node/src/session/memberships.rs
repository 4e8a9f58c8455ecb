//! The rooms of one connection. They are few, so lists are smaller than maps and as fast.

use signal_protocol::{PeerId, RoomId};

use crate::room::RoomHandle;
use crate::room_quota::RoomPermit;

/// One membership of this connection.
#[derive(Debug)]
struct Membership {
    peer: PeerId,
    state: MembershipState,
}

/// The state of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MembershipState {
    /// The join is not answered yet.
    Joining,
    /// The member may send.
    Joined,
    /// The leave is not answered yet.
    Leaving,
}

/// All memberships of one connection.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    held: Vec<(RoomId, Membership)>,
    /// The one that ended last, for the log; only while none is held.
    last: Option<Box<(RoomId, PeerId)>>,
}

impl Memberships {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn membership(&self, room: &RoomId) -> Option<&Membership> {
        self.held.iter().find_map(|(name, membership)| (name == room).then_some(membership))
    }

    pub(super) fn is_taken(&self, room: &RoomId) -> bool {
        self.membership(room).is_some()
    }

    pub(super) fn join(&mut self, room: RoomId, peer: PeerId) {
        self.free(&room);
        self.last = None;
        self.held.reserve_exact(1);
        self.held.push((room, Membership { peer, state: MembershipState::Joining }));
    }

    /// Returns the member that may send in a room.
    pub(super) fn speaker(&self, room: &RoomId) -> Option<&PeerId> {
        self.membership(room)
            .filter(|membership| membership.state == MembershipState::Joined)
            .map(|membership| &membership.peer)
    }

    pub(super) fn set(&mut self, room: &RoomId, state: MembershipState) {
        if let Some((_, membership)) = self.held.iter_mut().find(|(name, _)| name == room) {
            membership.state = state;
        }
    }

    pub(super) fn free(&mut self, room: &RoomId) {
        let Some(at) = self.held.iter().position(|(name, _)| name == room) else { return };
        let (room, membership) = self.held.remove(at);
        if self.held.is_empty() {
            self.last = Some(Box::new((room, membership.peer)));
        }
    }

    /// Returns all memberships, those that are joining or leaving included.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&RoomId, &PeerId)> {
        self.held.iter().map(|(room, membership)| (room, &membership.peer))
    }

    /// Returns all memberships, or the one that ended last.
    pub(super) fn iter_or_last(&self) -> impl Iterator<Item = (&RoomId, &PeerId)> {
        self.iter().chain(self.last.as_deref().map(|(room, peer)| (room, peer)))
    }

    /// Returns the member of a room.
    pub(super) fn member(&self, room: &RoomId) -> Option<&PeerId> {
        self.membership(room).map(|membership| &membership.peer)
    }
}

/// Handles of the rooms' tasks, each with the right to be in the room.
#[derive(Default)]
pub(super) struct Handles(Vec<(RoomId, RoomHandle, RoomPermit)>);

impl Handles {
    pub(super) fn get(&self, room: &RoomId) -> Option<&RoomHandle> {
        self.0.iter().find_map(|(name, handle, _)| (name == room).then_some(handle))
    }

    pub(super) fn insert(&mut self, room: RoomId, handle: RoomHandle, permit: RoomPermit) {
        self.remove(&room);
        self.0.reserve_exact(1);
        self.0.push((room, handle, permit));
    }

    pub(super) fn remove(&mut self, room: &RoomId) {
        self.0.retain(|(name, ..)| name != room);
    }
}
