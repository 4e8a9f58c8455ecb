//! Who is answered with the outcome of an op.

use std::sync::Arc;

use signal_protocol::{CallId, IceServers, PeerId};

use super::command::{MessageId, Reply};
use crate::log::SocketId;

/// Who is answered with the outcome of an op.
pub(super) enum Requester {
    /// A joining session.
    Join { peer: PeerId, ice: Option<Arc<IceServers>>, reply: Reply },
    /// The sender of an ordered message; `refusal` is the text of [`Op::Refuse`].
    Ordered { id: MessageId, refusal: Option<String> },
    /// A leaving member, over the socket that holds it.
    Leave { peer: PeerId, socket: SocketId, reply: Reply },
    /// A moderator.
    Kick { reply: Reply },
    /// A caller, or one who takes a step of a call.
    Call { asked: CallRequest, reply: Reply },
    /// A device that has come, and is told what rings.
    Rings { peer: PeerId },
    /// The room itself: nobody is answered.
    Housekeeping,
}

/// What was asked of a call.
pub(super) enum CallRequest {
    Ring {
        call: CallId,
        socket: SocketId,
    },
    /// Any step; with the device that wants the call.
    Step {
        device: Option<PeerId>,
    },
}

impl Requester {
    /// Tells whether it is a join of `peer`.
    pub(super) fn joins(&self, peer: &PeerId) -> bool {
        matches!(self, Self::Join { peer: joining, .. } if joining == peer)
    }

    /// Tells whether it is answered when the log cannot be reached. A leave is not: it holds as soon as the log can.
    pub(super) fn is_answered_on_failure(&self) -> bool {
        match self {
            Self::Join { .. } | Self::Ordered { .. } | Self::Kick { .. } | Self::Call { .. } => {
                true
            }
            Self::Leave { .. } | Self::Rings { .. } | Self::Housekeeping => false,
        }
    }
}
