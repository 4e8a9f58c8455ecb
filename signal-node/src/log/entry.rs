//! What a room's log holds.

use std::sync::Arc;

use serde_json::value::RawValue;
use signal_protocol::{LeaveReason, Mid, NodeId, PeerId, Seq, Subject};

/// JSON that is carried unopened.
pub type Payload = Arc<RawValue>;

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
            | Entry::Updated { meta: payload, .. } => payload.get().len(),
            Entry::Joined { meta: None, .. } | Entry::Away { .. } | Entry::Left { .. } => 0,
        };
        self.entries.iter().map(|entry| size(entry) + 64).sum()
    }

    /// Walks the entries with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (Seq, &Entry)> {
        (self.first.0..).map(Seq).zip(&self.entries)
    }
}

/// One thing that happened in a room.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A member entered, or came back. The entry's number is the generation of its claim.
    Joined {
        /// The member.
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
        /// Who.
        from: PeerId,
        /// To whom; to all others if `None`.
        to: Option<PeerId>,
        /// The sender's count.
        mid: Mid,
        /// What.
        data: Payload,
    },
    /// A member replaced its `meta`.
    Updated {
        /// Who.
        peer: PeerId,
        /// The member's count.
        mid: Mid,
        /// The new one.
        meta: Payload,
    },
    /// A member lost its socket and may come back.
    Away {
        /// Who.
        peer: PeerId,
    },
    /// A member is gone.
    Left {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: LeaveReason,
    },
}

/// Something told once, outside the order.
#[derive(Clone, Debug)]
pub struct Volatile {
    /// Who tells it.
    pub from: PeerId,
    /// To whom; to all others if `None`.
    pub to: Option<PeerId>,
    /// What.
    pub data: Payload,
}
