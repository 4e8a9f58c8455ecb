//! The events of a timeline, and their form in the log.

use serde::{Deserialize, Serialize};
use signal_protocol::report::{CallReport, MediaFault};
use signal_protocol::{LeaveReason, PeerId};
use utoipa::ToSchema;

/// An event with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// When the node noted it, in milliseconds since 1970.
    #[schema(example = 1_795_366_362_000_u64)]
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// One thing that happened in a room. `seq` is the number of its entry in the log of the room, by which copies that several
/// nodes have written are recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the protocol")]
pub enum Event {
    /// A member entered, or came back.
    Joined {
        seq: u64,
        #[schema(value_type = String, example = "p_u1BMnQ3PWsFKcSzG2oqhFg")]
        peer: PeerId,
        /// The subject of its token; none if anonymous.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(example = "ana")]
        user: Option<String>,
        /// The node that holds its socket.
        #[schema(example = "n_5f3c0a9d1b2e")]
        node: String,
        /// Whether it was a member before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        resumed: bool,
    },
    /// A member lost its socket, or its node fell silent.
    Away {
        seq: u64,
        #[schema(value_type = String)]
        peer: PeerId,
        /// For how many milliseconds that had been so.
        ago: u64,
    },
    /// A member whose node had fallen silent was there all the time.
    Back {
        seq: u64,
        #[schema(value_type = String)]
        peer: PeerId,
    },
    /// A member is gone.
    Left {
        seq: u64,
        #[schema(value_type = String)]
        peer: PeerId,
        #[schema(value_type = String, example = "timeout")]
        reason: LeaveReason,
    },
    /// The log of the room lost entries, and the nodes restored its members.
    Reset { seq: u64 },
    /// A client reported how it connects to another member.
    Report {
        /// The member that reports.
        #[schema(value_type = String)]
        peer: PeerId,
        /// The member at the other end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        about: Option<PeerId>,
        /// How far the clock of its device is ahead of the node's, in milliseconds.
        skew: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<Box<CallReport>>,
        /// Why the device gave no camera or microphone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media: Option<MediaFault>,
    },
}

impl Line {
    /// Returns what is the same in two copies of a line and differs between any two events: the kind and the number of an
    /// entry, which each node notes with a time of its own, and the whole text of a report, which one node has written.
    pub(super) fn identity(&self) -> (&'static str, u64, String) {
        match &self.event {
            Event::Joined { seq, .. } => ("joined", *seq, String::new()),
            Event::Away { seq, .. } => ("away", *seq, String::new()),
            Event::Back { seq, .. } => ("back", *seq, String::new()),
            Event::Left { seq, .. } => ("left", *seq, String::new()),
            Event::Reset { seq } => ("reset", *seq, String::new()),
            Event::Report { .. } => ("report", self.at, format!("{:?}", self.event)),
        }
    }
}
