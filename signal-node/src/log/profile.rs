//! What differs in the rooms that no client can name: those of dialects, most of whose clients cannot resume, and inboxes.

use std::time::Duration;

use signal_protocol::{RoomId, RoomTag, limits};

use super::RECLAIM_WINDOW;

/// How long a member may be away whose socket always leaves: its node may stall for a lease and find its members still there.
const GRACE: Duration = Duration::from_secs(10);

/// How old an entry may become that nobody asks to be replayed; a node that is behind reads it.
const AGE: Duration = Duration::from_secs(10);

/// A device resumes as any member of `signal.v1` does, with the grace of the node. Nothing is replayed to it.
const INBOX: RoomProfile = RoomProfile {
    grace: Duration::MAX,
    join_grace: Duration::MAX,
    age: AGE,
    capacity: limits::DEVICES,
    rooms_per_connection: 1,
    rooms_per_client: 1,
};

/// A client of Socket.IO resumes as any member of `signal.v1` does, with the grace of the node.
const CODELAB: RoomProfile = RoomProfile {
    grace: Duration::MAX,
    join_grace: Duration::MAX,
    age: Duration::MAX,
    capacity: 2,
    rooms_per_connection: 1,
    rooms_per_client: ROOMS_PER_CLIENT,
};

/// Many, since every page that is loaded again has new rooms.
const ROOMS_PER_CLIENT: usize = 4_096;

/// What applies to a room by the tag of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomProfile {
    /// How long a member may be away, at most.
    pub grace: Duration,
    /// How long a member has to be away before a join of another one removes it.
    pub join_grace: Duration,
    /// How old an entry of its log may become.
    pub age: Duration,
    /// How many members it takes.
    pub capacity: u32,
    /// How many such rooms one connection may be in.
    pub rooms_per_connection: usize,
    /// How many rooms one subject may be in, or the anonymous connections of one address.
    pub rooms_per_client: usize,
}

impl RoomProfile {
    /// Returns the profile of a room with a tag; `None`: the settings of the node apply.
    #[must_use]
    pub fn of(room: &RoomId) -> Option<Self> {
        let (capacity, rooms_per_connection, join_grace) = match room.tag()? {
            RoomTag::Topic => (256, 100, GRACE),
            // An id is asked for by somebody who waits. Its holder's node has the time to reclaim it, and no more.
            RoomTag::PeerJs => (1, 1, RECLAIM_WINDOW),
            // A client is in the room that it names, and in one of its own.
            RoomTag::Matchbox => (256, 2, GRACE),
            RoomTag::MatchboxPeer => (1, 2, RECLAIM_WINDOW),
            RoomTag::SocketIo => return Some(CODELAB),
            // Nobody joins the channel of a node.
            RoomTag::Node | RoomTag::Inbox => return Some(INBOX),
        };
        let (grace, age, rooms_per_client) = (GRACE, AGE, ROOMS_PER_CLIENT);
        Some(Self { grace, join_grace, age, capacity, rooms_per_connection, rooms_per_client })
    }
}
