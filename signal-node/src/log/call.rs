//! What a node asks of a room's log, and what it is answered.

use std::fmt;
use std::time::Duration;

use service_kit::trace::Span;
use signal_protocol::{ErrorCode, Mid, NodeId, PeerId, Recovery, Seq, Subject};

use super::JOIN_VALID_FOR;
use super::judgement::Judgement;
use super::types::{Payload, RosterMember};

/// Names one socket for as long as it lives; tells a repeated join from a competing one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId(u64);

impl SocketId {
    /// Draws a new one.
    #[must_use]
    pub fn random() -> Self {
        Self(u64::from_le_bytes(service_kit::random::bytes()))
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketId({self})")
    }
}

/// The right to act for a member: `gen` is the `seq` of the entry that gave it, so it never repeats.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub peer: PeerId,
    /// The generation of the claim; a later join or resume of the member ends it.
    pub generation: Seq,
}

/// One step for a room's log.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub enum Op {
    /// Enters the room or comes back to it.
    Join(Box<Join>),
    Signal {
        by: Claim,
        mid: Mid,
        /// Whom it is for; all others if `None`.
        to: Option<PeerId>,
        data: Payload,
        /// Its way to the log, where it is traced; its entry tells where that belongs.
        span: Option<Box<Span>>,
    },
    /// Replaces a member's `meta`.
    Update {
        by: Claim,
        mid: Mid,
        meta: Payload,
    },
    /// Settles a message that the node refused for good, so that the next `mid` may follow.
    Refuse {
        by: Claim,
        mid: Mid,
        /// What the member is told.
        code: ErrorCode,
    },
    Leave {
        by: Claim,
    },
    /// Marks the member away: its socket is gone, it may come back.
    Detach {
        by: Claim,
    },
    /// Removes a member on behalf of a moderator.
    Kick {
        peer: PeerId,
        /// How long its subject may not come back.
        ban: Duration,
    },
    /// Removes the members that have been away for longer than `grace`, at most [`super::MEMBERS_PER_STEP`] of them.
    Expire {
        /// How long one may be away.
        grace: Duration,
        /// Why the caller may say so.
        judgement: Judgement,
    },
    /// Marks the members of silent nodes away and takes their claims from them: at most
    /// [`super::MEMBERS_PER_STEP`] of them, and each so that its node has [`super::RECLAIM_WINDOW`] to reclaim it.
    Suspect {
        /// How long one may be away.
        grace: Duration,
        /// The nodes, and why the caller may say so.
        judgement: Judgement,
    },
    /// Takes a suspected member back: its socket lives after all. After a reset, confirms that its node holds it.
    Reclaim {
        /// Whose, with the generation that the suspicion gave it.
        by: Claim,
    },
    /// Puts a living member back into a room that has lost it, or has lost its newest claim.
    Restore(Box<Restored>),
    /// Tells every node that history was lost, with the roster as it is now.
    Reset,
    /// Sets what the room takes; what is `None` stays as it is.
    Configure {
        capacity: Option<u32>,
        /// Whether new members are refused.
        locked: Option<bool>,
    },
    /// Appends a signal of the server's own, once for each key.
    Announce {
        /// What tells a repeated one; `None`: it is one of its own.
        key: Option<String>,
        /// Whom it is for; all members if `None`.
        to: Option<PeerId>,
        data: Payload,
    },
    /// Appends a signal of one who need not be a member, once for each count of its sender.
    Post(Box<Post>),
    /// Tells how the room is, and changes nothing.
    Inspect,
    /// Trims what is kept, prolongs the life of the room and tells where its log ends.
    Maintain,
}

impl Op {
    /// Returns about how many bytes it takes on its way to the log.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let payload = match self {
            Self::Signal { data: payload, .. }
            | Self::Announce { data: payload, .. }
            | Self::Update { meta: payload, .. } => payload,
            Self::Join(join) => &join.meta,
            Self::Post(post) => &post.data,
            Self::Restore(restored) => &restored.record.meta,
            Self::Refuse { .. }
            | Self::Leave { .. }
            | Self::Detach { .. }
            | Self::Kick { .. }
            | Self::Expire { .. }
            | Self::Suspect { .. }
            | Self::Reclaim { .. }
            | Self::Reset
            | Self::Configure { .. }
            | Self::Inspect
            | Self::Maintain => return 128,
        };
        payload.get().len() + 128
    }

    /// Tells whether it puts back what a log has lost.
    #[must_use]
    pub fn is_recovery(&self) -> bool {
        matches!(self, Self::Restore(_) | Self::Reset)
    }

    /// Returns the claim it is made with, if it takes one.
    pub fn claim_mut(&mut self) -> Option<&mut Claim> {
        if let Self::Signal { by, .. }
        | Self::Update { by, .. }
        | Self::Refuse { by, .. }
        | Self::Leave { by }
        | Self::Detach { by }
        | Self::Reclaim { by } = self
        {
            return Some(by);
        }
        None
    }
}

/// A member as the node that holds its socket knows it.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct Restored {
    pub by: Claim,
    /// The socket it came over.
    pub socket: SocketId,
    /// Its number among the joins of the room.
    pub n: u64,
    /// Its last settled message.
    pub mid: Mid,
    /// What it came with.
    pub record: Record,
}

/// How a member came to be one.
#[derive(Clone, Debug)]
pub struct Record {
    /// SHA-256 of the key, base64url.
    pub key_hash: Box<str>,
    /// Counts the client's joins with this key.
    pub attempt: u64,
    /// The node it came over.
    pub node: NodeId,
    /// The subject of its token; `None` if anonymous.
    pub user: Option<Subject>,
    /// What it tells about itself.
    pub meta: Payload,
    /// The number of the entry of its last join.
    pub joined: Seq,
    /// The number of the entry with which it became a member.
    pub origin: Seq,
    /// The head of the log before its last join.
    pub base: Seq,
    /// What its last join was answered.
    pub recovery: Recovery,
}

impl Record {
    /// Notes what a join has made of a member.
    #[must_use]
    pub fn new(join: Join, joined: &Joined) -> Self {
        Self {
            key_hash: join.key_hash.into(),
            attempt: join.attempt,
            node: join.node,
            user: join.user,
            meta: joined.meta.clone(),
            joined: joined.seq,
            origin: joined.origin,
            base: joined.base,
            recovery: joined.recovery,
        }
    }
}

/// A signal into a room by one who need not be a member. Members get it as one of the server's own.
#[derive(Clone, Debug)]
pub struct Post {
    /// The sender.
    pub from: SocketId,
    /// Rises with every post of the sender into this room. A repeated count is answered as the first one was.
    pub count: u64,
    /// What the members get.
    pub data: Payload,
    /// How long one may be away.
    pub grace: Duration,
    /// Nodes whose members are marked away first: a post that only those would get is answered [`Outcome::Gone`].
    pub judgement: Judgement,
}

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
    /// How many members of one subject the room takes.
    pub per_subject: u32,
    /// The client's position, if it asks for a replay.
    pub position: Option<Seq>,
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
            per_subject: 8,
            position: None,
            grace: Duration::ZERO,
            expires: false,
            judgement: Judgement::certain(Vec::new()),
            waits: false,
            asked_at: None,
        }
    }
}

/// What became of one [`Op`].
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The join took effect.
    Joined(Box<Joined>),
    /// The join was refused.
    JoinRefused(JoinRefusal),
    /// It took effect at this entry.
    Appended(Seq),
    /// The message was settled before, or there was nothing to do.
    Settled,
    /// The message was refused for good; its `mid` is consumed.
    Refused(ErrorCode),
    /// The message is not the next one.
    OutOfOrder {
        /// The `mid` that is.
        expected: Mid,
    },
    /// Only a suspicion has raised the generation: it is this one now.
    Suspected(Seq),
    /// A later join holds the member, as the log tells up to this entry.
    Replaced(Seq),
    /// There is no such member (any more), as the log tells up to this entry.
    Gone(Seq),
    /// There are more members for this step, which is due again.
    More,
    /// The judgement is stale, or the join is late: nothing has happened, and the caller has to judge or to ask anew.
    Stale,
    /// The joining member, or the peer that is meant, may be restored yet: history was lost a moment ago. Nothing has
    /// happened.
    Recovering,
    /// The post was appended, for this many members.
    Posted(usize),
    /// The log ends here.
    Head(Seq),
    /// The room is like this.
    Room(Box<RoomView>),
}

/// A room as it is at one moment.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct RoomView {
    /// Where its log ends.
    pub head: Seq,
    /// How many members it takes, if that was configured.
    pub capacity: Option<u32>,
    /// Whether new members are refused.
    pub locked: bool,
    pub members: Vec<RosterMember>,
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
