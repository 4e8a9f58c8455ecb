//! What a node asks of a room's log, and what it is answered.

use std::time::Duration;

use service_kit::trace::Span;
use signal_protocol::{CallId, ErrorCode, Mid, NodeId, PeerId, Recovery, Seq, Subject};

use super::calls::{CallStep, CallsView, Ring};
use super::join::{Join, JoinRefusal, Joined};
use super::judgement::Judgement;
use super::types::{Payload, RosterMember, SocketId};

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
    /// Advances the number that the room holds, unless it is past `from` already, and tells it. It begins with 1.
    Advance {
        from: u64,
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
    /// Begins a call of the user whose inbox it is.
    Ring(Box<Ring>),
    /// Takes a step of a call.
    StepCall {
        /// Which one.
        call: CallId,
        /// What is said to it.
        step: CallStep,
    },
    /// Ends the calls that have rung for long enough, and tells how all of them are.
    Calls,
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
            Self::Ring(ring) => return ring.data.as_ref().map_or(0, |data| data.get().len()) + 256,
            Self::Refuse { .. }
            | Self::Leave { .. }
            | Self::Detach { .. }
            | Self::Kick { .. }
            | Self::Expire { .. }
            | Self::Suspect { .. }
            | Self::Reclaim { .. }
            | Self::Reset
            | Self::Configure { .. }
            | Self::Advance { .. }
            | Self::StepCall { .. }
            | Self::Calls
            | Self::Inspect
            | Self::Maintain => return 128,
        };
        payload.get().len() + 128
    }

    /// Tells whether back ends may be told of something that it does.
    #[must_use]
    pub fn may_tell(&self) -> bool {
        match self {
            Self::Join(_)
            | Self::Leave { .. }
            | Self::Kick { .. }
            | Self::Expire { .. }
            | Self::Ring(_)
            | Self::StepCall { .. }
            | Self::Calls => true,
            Self::Signal { .. }
            | Self::Update { .. }
            | Self::Refuse { .. }
            | Self::Detach { .. }
            | Self::Suspect { .. }
            | Self::Reclaim { .. }
            | Self::Restore(_)
            | Self::Reset
            | Self::Configure { .. }
            | Self::Advance { .. }
            | Self::Announce { .. }
            | Self::Post(_)
            | Self::Inspect
            | Self::Maintain => false,
        }
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
    /// The room holds this number.
    Number(u64),
    /// The log ends here.
    Head(Seq),
    /// The call, or all calls, are like this.
    Calls(Box<CallsView>),
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
