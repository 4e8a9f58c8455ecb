//! Calls of a user, as their inbox holds them.

use std::time::Duration;

use signal_protocol::{CallEnd, CallId, PeerId, RoomId, Seq, Subject};

use super::types::Payload;

/// How long an ended call is remembered, so that a repeated step is answered as the first one was.
pub const CALLS_REMEMBERED: Duration = Duration::from_secs(60);

/// How long an accepted call gives the right to its room, at most.
pub const CALL_LIFE: Duration = Duration::from_secs(12 * 3_600);

/// How many calls ring at one user at once.
pub const RINGING_CALLS: usize = 16;

/// A call that begins.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Its name. A call of this name that is there already is answered as it is.
    pub call: CallId,
    /// The caller.
    pub from: Subject,
    /// The user whose inbox it is.
    pub to: Subject,
    /// Where both meet.
    pub room: RoomId,
    /// How long it rings.
    pub timeout: Duration,
    /// What the devices are told.
    pub data: Option<Payload>,
}

/// What somebody says to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallStep {
    /// A device takes it.
    Accept(PeerId),
    /// A device declines, or the one that has it hangs up.
    Decline(PeerId, CallEnd),
    /// The caller gives up, or hangs up.
    Cancel(Subject, CallEnd),
}

/// How a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallState {
    /// All devices ring.
    Ringing,
    /// This device has it.
    Accepted(PeerId),
    /// It is over.
    Ended(CallEnd),
}

impl CallState {
    /// Returns the state after a step; `None` if the step changes nothing. The first step wins.
    #[must_use]
    pub fn after(&self, step: &CallStep, caller: &Subject) -> Option<Self> {
        match (self, step) {
            (Self::Ringing, CallStep::Accept(device)) => Some(Self::Accepted(device.clone())),
            (Self::Ringing, CallStep::Decline(_, end)) => Some(Self::Ended(*end)),
            (Self::Ringing, CallStep::Cancel(from, end)) if from == caller => {
                Some(Self::Ended(*end))
            }
            (Self::Accepted(holder), CallStep::Decline(device, _)) if holder == device => {
                Some(Self::Ended(CallEnd::HungUp))
            }
            (Self::Accepted(_), CallStep::Cancel(from, _)) if from == caller => {
                Some(Self::Ended(CallEnd::HungUp))
            }
            (Self::Ringing | Self::Accepted(_) | Self::Ended(_), _) => None,
        }
    }

    /// Returns the word by which it is stored.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Accepted(_) => "accepted",
            Self::Ended(end) => end.name(),
        }
    }
}

/// A call as it is at one moment.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct CallView {
    pub call: CallId,
    /// The caller.
    pub from: Subject,
    pub room: RoomId,
    pub state: CallState,
    /// For how long it stays so if nobody says anything.
    pub left: Duration,
    /// What the devices are told; of an entry only while it rings.
    pub data: Option<Payload>,
}

/// The calls of an inbox that a step is answered with.
#[derive(Clone, Debug)]
pub struct CallsView {
    /// Where its log ends.
    pub head: Seq,
    /// How many devices are online.
    pub devices: usize,
    /// The call that was meant, or all.
    pub calls: Vec<CallView>,
}
