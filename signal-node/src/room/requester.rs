//! Who is answered with the outcome of an op.

use std::sync::Arc;

use signal_protocol::{IceServers, PeerId};

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
    /// The room itself: nobody is answered.
    Housekeeping,
}

impl Requester {
    /// Tells whether it is a join of `peer`.
    pub(super) fn joins(&self, peer: &PeerId) -> bool {
        matches!(self, Self::Join { peer: joining, .. } if joining == peer)
    }

    /// Tells whether it is answered when the log cannot be reached. A leave is not: it holds as soon as the log can.
    pub(super) fn is_answered_on_failure(&self) -> bool {
        match self {
            Self::Join { .. } | Self::Ordered { .. } | Self::Kick { .. } => true,
            Self::Leave { .. } | Self::Housekeeping => false,
        }
    }
}
