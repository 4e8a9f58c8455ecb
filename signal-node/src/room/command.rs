//! What a session asks of a room, and where the answer goes.

use std::sync::Arc;
use std::time::Duration;

use service_kit::trace::Span;
use signal_protocol::client::RequestId;
use signal_protocol::server::ErrorFrame;
use signal_protocol::{ErrorCode, IceServers, Mid, PeerId, ServerMessage};
use tokio::sync::oneshot;

use super::outbox::{Delivery, FrameEvent, Outbox};
use crate::log::{Join, Payload, SocketId, Volatile};

/// What a session asks of a room.
pub enum Command {
    /// Enters it.
    Join(Box<JoinCommand>),
    /// Says something that is kept, or refuses it in its turn.
    Ordered {
        /// Who.
        peer: PeerId,
        /// Over which socket.
        socket: SocketId,
        /// The member's count.
        mid: Mid,
        /// What.
        what: Ordered,
    },
    /// Tells something once.
    Volatile(Volatile),
    /// Leaves it.
    Leave {
        /// Who.
        peer: PeerId,
        /// Over which socket.
        socket: SocketId,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Removes another member.
    Kick {
        /// Whom.
        peer: PeerId,
        /// How long its subject may not come back.
        ban: Duration,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Asks to be told when the log has answered everything that came before.
    WaitIdle(oneshot::Sender<()>),
    /// Another node has fallen silent: events its members away.
    Suspect,
    /// The socket is gone.
    Detach {
        /// Who.
        peer: PeerId,
        /// Which socket.
        socket: SocketId,
    },
}

/// A message that counts.
#[derive(Debug)]
pub enum Ordered {
    /// To one member, or to all others.
    Signal {
        /// Whom it is for.
        to: Option<PeerId>,
        /// What is said.
        data: Payload,
        /// Its way to the log, where it is traced.
        span: Option<Box<Span>>,
    },
    /// Replaces the member's `meta`.
    Update(Payload),
    /// Refused for good before it reached the room.
    Refuse(ErrorCode, String),
}

/// A wish to enter, with what goes into the answer.
pub struct JoinCommand {
    /// What the log decides on.
    pub join: Join,
    /// The ICE servers for `joined`.
    pub ice: Option<Arc<IceServers>>,
    /// Where the answer goes.
    pub reply: Reply,
}

/// Where the answer to a request goes.
#[derive(Clone)]
pub struct Reply {
    /// The session's queue.
    pub outbox: Arc<Outbox>,
    /// The request.
    pub id: Option<RequestId>,
}

impl Reply {
    /// Says that the request took effect.
    pub fn ok(&self, event: Option<FrameEvent>) {
        let frame = ServerMessage::Ok { id: self.id }.to_json();
        self.outbox.push(Delivery { frame: frame.into(), event });
    }

    /// Says that it was refused.
    pub fn refuse(&self, error: ErrorFrame<'_>, event: Option<FrameEvent>) {
        let frame = ServerMessage::Error(ErrorFrame { id: self.id, ..error }).to_json();
        self.outbox.push(Delivery { frame: frame.into(), event });
    }
}
