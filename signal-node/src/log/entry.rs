//! What a room's log holds.

use std::time::Duration;

use service_kit::trace::Parent;
use signal_protocol::{LeaveReason, Mid, NodeId, PeerId, Seq, Subject};

use super::calls::CallView;
use super::types::{Payload, RosterMember};

/// Consecutive entries that were appended in one step: numbers `first`, `first + 1`, …
#[derive(Clone, Debug)]
pub struct Batch {
    /// The number of the entry before this batch; 0 if there was none.
    pub prev: Seq,
    /// The number of the first entry.
    pub first: Seq,
    /// The entries, never none.
    pub entries: Vec<Entry>,
}

impl Batch {
    /// Returns the number of the last entry.
    #[must_use]
    pub fn last(&self) -> Seq {
        Seq(self.first.0 + self.entries.len() as u64 - 1)
    }

    /// Returns about how many bytes the batch takes in a log.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let size = |entry: &Entry| match entry {
            Entry::Joined { meta: Some(payload), .. }
            | Entry::Signal { data: payload, .. }
            | Entry::Announced { data: payload, .. }
            | Entry::Updated { meta: payload, .. } => payload.get().len(),
            Entry::Reset { roster } => {
                roster.iter().map(|reset_member| reset_member.line.meta.get().len() + 128).sum()
            }
            Entry::Call(view) => view.data.as_ref().map_or(0, |data| data.get().len()) + 128,
            Entry::Joined { meta: None, .. }
            | Entry::Unknown
            | Entry::Unreadable
            | Entry::Away { .. }
            | Entry::Back { .. }
            | Entry::Left { .. } => 0,
        };
        self.entries.iter().map(|entry| size(entry) + 64).sum()
    }

    /// Tells whether it begins by saying that history was lost, so that it may follow anything.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        matches!(self.entries.first(), Some(Entry::Reset { .. }))
    }

    /// Tells whether a back end may be told of something in it.
    #[must_use]
    pub fn tells_back_ends(&self) -> bool {
        let tells = |entry: &Entry| {
            matches!(
                entry,
                Entry::Joined { resumed: false, .. } | Entry::Left { .. } | Entry::Call(_)
            )
        };
        self.entries.iter().any(tells)
    }

    /// Walks the entries with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (Seq, &Entry)> {
        (self.first.0..).map(Seq).zip(&self.entries)
    }
}

/// One thing that happened in a room.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub enum Entry {
    /// A member entered, or came back. The entry's number is the generation of its claim.
    Joined {
        peer: PeerId,
        /// Its number among the joins of the room.
        n: u64,
        /// The node that holds its socket.
        node: NodeId,
        /// Whether it was a member before.
        resumed: bool,
        /// The subject of its token.
        user: Option<Subject>,
        /// What it tells about itself; `None` on a resume that changed nothing.
        meta: Option<Payload>,
    },
    /// A member said something.
    Signal {
        from: PeerId,
        /// To whom; to all others if `None`.
        to: Option<PeerId>,
        mid: Mid,
        data: Payload,
        /// Where it belongs, if it is traced.
        trace: Option<Box<Parent>>,
    },
    /// The server said something, for a back end.
    Announced {
        /// To whom; to all members if `None`.
        to: Option<PeerId>,
        data: Payload,
    },
    /// A member replaced its `meta`.
    Updated { peer: PeerId, mid: Mid, meta: Payload },
    /// A member lost its socket, or its node fell silent; it may come back.
    Away {
        peer: PeerId,
        /// For how long that has been so already.
        ago: Duration,
    },
    /// A suspected member was reclaimed by the node that holds its socket.
    Back { peer: PeerId },
    /// History was lost. A member that is not in this roster has to be restored, or is gone.
    Reset {
        /// The members as they are now.
        roster: Vec<ResetMember>,
    },
    /// A call began, was accepted or is over.
    Call(Box<CallView>),
    /// A member is gone.
    Left { peer: PeerId, reason: LeaveReason },
    /// Something that only a newer version knows; it is skipped.
    Unknown,
    /// Something that cannot be read: a loss.
    Unreadable,
}

/// A member that is in the room after a reset.
#[derive(Clone, Debug)]
pub struct ResetMember {
    /// The member, as a roster tells it.
    pub line: RosterMember,
    /// The generation of its claim.
    pub generation: Seq,
    /// Its last settled message.
    pub mid: Mid,
}

/// Something told once, outside the order.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct Volatile {
    pub from: PeerId,
    /// To whom; to all others if `None`.
    pub to: Option<PeerId>,
    pub data: Payload,
}
