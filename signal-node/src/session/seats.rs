//! The rooms that one connection is in.

use std::collections::HashMap;

use signal_protocol::{PeerId, RoomId};

/// One membership of this connection.
#[derive(Debug)]
struct Seat {
    peer: PeerId,
    state: SeatState,
}

/// How far a membership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeatState {
    /// The join is not answered yet.
    Joining,
    /// The member may speak.
    Joined,
    /// The leave is not answered yet.
    Leaving,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Seats(HashMap<RoomId, Seat>);

impl Seats {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_taken(&self, room: &RoomId) -> bool {
        self.0.contains_key(room)
    }

    pub(super) fn join(&mut self, room: RoomId, peer: PeerId) {
        self.0.insert(room, Seat { peer, state: SeatState::Joining });
    }

    /// Finds the member that may speak in a room.
    pub(super) fn speaker(&self, room: &RoomId) -> Option<&PeerId> {
        self.0.get(room).filter(|seat| seat.state == SeatState::Joined).map(|seat| &seat.peer)
    }

    pub(super) fn set(&mut self, room: &RoomId, state: SeatState) {
        if let Some(seat) = self.0.get_mut(room) {
            seat.state = state;
        }
    }

    pub(super) fn free(&mut self, room: &RoomId) {
        self.0.remove(room);
    }

    /// Walks all memberships, settled or not.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&RoomId, &PeerId)> {
        self.0.iter().map(|(room, seat)| (room, &seat.peer))
    }
}
