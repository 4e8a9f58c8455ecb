//! What handles ask of the driver.

use std::sync::Arc;

use signal_protocol::{PeerId, RoomId};
use tokio::sync::oneshot;

use crate::core::{LeftBecause, MemberId, Payload, SendError};
use crate::queue::EventQueue;

/// How a message or a request ended.
pub(crate) type Answer = oneshot::Sender<Result<(), SendError>>;

/// Commands that wait for the driver: as many messages as a member may have unsettled.
pub(crate) const MOST_COMMANDS: usize = 4_096;

/// Who enters a room.
pub(crate) struct Entry {
    pub(crate) member: MemberId,
    pub(crate) room: RoomId,
    pub(crate) meta: Option<Payload>,
    /// Whether a refusal for a passing reason ends the join.
    pub(crate) gives_up: bool,
    pub(crate) queue: Arc<EventQueue>,
    pub(crate) joined: oneshot::Sender<Result<(), LeftBecause>>,
}

pub(crate) enum Command {
    Join(Entry),
    Signal {
        member: MemberId,
        to: Option<PeerId>,
        data: Payload,
        answer: Answer,
    },
    Volatile {
        member: MemberId,
        to: Option<PeerId>,
        data: Payload,
    },
    Update {
        member: MemberId,
        meta: Payload,
        answer: Answer,
    },
    Kick {
        member: MemberId,
        peer: PeerId,
        ban: Option<u64>,
        answer: Answer,
    },
    /// `answer` is absent where the handle is gone.
    Leave {
        member: MemberId,
        answer: Option<Answer>,
    },
    AskForIce,
    /// Answered once every room is left and the sockets are being closed.
    Close(oneshot::Sender<()>),
}
