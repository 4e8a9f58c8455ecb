//! A join, and what becomes of it.

use std::time::Duration;

use signal_protocol::{ErrorCode, Mid, NodeId, PeerId, Recovery, Seq, Subject};

use super::JOIN_VALID_FOR;
use super::judgement::Judgement;
use super::types::{Payload, RosterMember, SocketId};

/// A wish to be in a room.
#[derive(Clone, Debug)]
pub struct Join {
    /// The member, derived from its key.
    pub peer: PeerId,
    /// SHA-256 of the key, base64url.
    pub key_hash: String,
    /// Counts the client's joins with this key; [`Join::NEXT`] if the client does not count.
    pub attempt: u64,
    /// The socket it comes over.
    pub socket: SocketId,
    /// The node it comes over.
    pub node: NodeId,
    /// The subject of its token; `None` if anonymous.
    pub user: Option<Subject>,
    /// What it tells about itself.
    pub meta: Payload,
    /// Whether a living member keeps what it told before.
    pub keeps_meta: bool,
    /// How many members the room takes if nothing was configured for it.
    pub capacity: u32,
    /// How many members the room may have for this join, by its token.
    pub token_capacity: Option<u32>,
    /// Locks the room, for as long as that is remembered, in the step in which it gets so many members.
    pub seals_at: Option<u32>,
    /// How many members of one subject the room takes.
    pub per_subject: u32,
    /// The client's position, if it asks for a replay.
    pub position: Option<Seq>,
    /// The last of its messages that the client knows to be settled, if it says so.
    pub settled: Option<Mid>,
    /// How long one may be away.
    pub grace: Duration,
    /// Whether members that have been away for longer are removed first.
    pub expires: bool,
    /// Nodes whose members are marked away first, and why the caller may say so.
    pub judgement: Judgement,
    /// Whether history may have been lost a moment ago: a client with a position waits until members are restored.
    pub waits: bool,
    /// The log's own time when it was asked for, as its node estimates it; `None`: not known, and its age is not checked.
    pub asked_at: Option<Duration>,
}

impl Join {
    /// The `attempt` of a client that does not count its joins. From the socket that holds the member it is a repeated
    /// call; from any other socket it is the next one. A count from a clock would refuse a client that comes back over a
    /// node whose clock is behind.
    pub const NEXT: u64 = 0;

    /// Returns the attempt after `last`, which came over another socket or not.
    pub(super) fn attempt_after(&self, last: u64, same_socket: bool) -> u64 {
        match self.attempt {
            Self::NEXT if same_socket => last,
            Self::NEXT => last + 1,
            counted => counted,
        }
    }

    /// Tells whether it arrives so late that its client has been answered, and its node may listen to the room no more.
    #[must_use]
    pub fn is_late(&self, now: Duration) -> bool {
        self.asked_at.is_some_and(|asked_at| now.abs_diff(asked_at) > JOIN_VALID_FOR)
    }
}

#[cfg(test)]
impl Join {
    /// A wish as simple as it gets, for tests.
    pub(crate) fn simple(key: &signal_protocol::PeerKey, attempt: u64, node: NodeId) -> Self {
        Self {
            peer: key.peer().clone(),
            key_hash: key.hash().to_owned(),
            attempt,
            socket: SocketId(attempt),
            node,
            user: None,
            meta: serde_json::value::RawValue::from_string("{}".to_owned()).expect("JSON").into(),
            keeps_meta: true,
            capacity: 1_000,
            token_capacity: None,
            seals_at: None,
            per_subject: 8,
            position: None,
            settled: None,
            grace: Duration::ZERO,
            expires: false,
            judgement: Judgement::certain(Vec::new()),
            waits: false,
            asked_at: None,
        }
    }
}

/// A join that took effect.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The `seq` of the join's entry, which is the generation of the claim.
    pub seq: Seq,
    /// The head of the log before the batch that holds the entry.
    pub base: Seq,
    /// The member's number among the joins of the room.
    pub n: u64,
    /// The number of the entry with which it became a member.
    pub origin: Seq,
    /// What the client is told.
    pub recovery: Recovery,
    /// The member's last settled message.
    pub mid: Mid,
    /// Those of its last messages that were refused for good, if it came back.
    pub refused: Vec<(Mid, ErrorCode)>,
    /// What it tells about itself: of a member that came back it may be newer than what the join says.
    pub meta: Payload,
    /// The other members as of the entry.
    pub roster: Vec<RosterMember>,
}

/// Why nobody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefusal {
    /// Every seat is taken.
    Full {
        /// How many seats there are.
        capacity: u32,
        /// When the first absent member's seat becomes free, if there is one.
        after: Option<Duration>,
    },
    /// The room takes no new members for now.
    Locked,
    /// The subject is banned, or the key belongs to a member of another subject.
    Forbidden,
    /// The subject has too many members here.
    TooManyOfSubject,
    /// A newer join of the same client came first.
    Replaced,
}
