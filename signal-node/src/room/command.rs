//! What a session asks of a room, and where the answer goes.

use std::sync::Arc;
use std::time::Duration;

use service_kit::trace::Span;
use signal_protocol::client::RequestId;
use signal_protocol::server::ErrorFrame;
use signal_protocol::{CallId, ErrorCode, IceServers, Mid, PeerId, ServerMessage, Subject};
use tokio::sync::oneshot;

use super::outbox::{Delivery, FrameEvent, Outbox};
use crate::log::{CallStep, Join, Payload, Ring, SocketId, Volatile};

/// A request to a room.
pub enum Command {
    /// Joins.
    Join(Box<JoinCommand>),
    /// Appends an ordered message, or refuses it in its turn.
    Ordered {
        /// Which message.
        id: MessageId,
        /// What it says.
        what: Ordered,
    },
    /// Publishes a volatile signal.
    Volatile(Volatile),
    /// Leaves.
    Leave {
        /// The member.
        peer: PeerId,
        /// Its socket.
        socket: SocketId,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Removes another member.
    Kick {
        /// The member to remove.
        peer: PeerId,
        /// How long its subject may not come back.
        ban: Duration,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Has a socket told of the presence of the user whose inbox this is.
    Watch(WatchCommand),
    /// Has a socket told no more.
    Unwatch(SocketId),
    /// Calls the user whose inbox this is.
    Ring(Box<RingCommand>),
    /// Takes a step of a call.
    StepCall(Box<CallCommand>),
    /// The socket of a caller is gone, or follows no call any more.
    EndCalls(SocketId),
    /// Asks for a note once the log has answered everything that came before.
    WaitIdle(oneshot::Sender<()>),
    /// Marks the members of nodes away whose heartbeat has stopped.
    Suspect,
    /// Marks the member away: its socket is gone.
    Detach {
        /// The member.
        peer: PeerId,
        /// Its socket.
        socket: SocketId,
        /// Whether its page was closed or left (RFC 6455 §7.4.1, 1001), so that it is soon back or not at all.
        is_going_away: bool,
    },
}

/// A socket that watches a user.
pub struct WatchCommand {
    /// Whose inbox it is.
    pub user: Subject,
    /// The socket.
    pub socket: SocketId,
    /// Its queue.
    pub outbox: Arc<Outbox>,
}

/// A call that begins.
pub struct RingCommand {
    /// What the log gets.
    pub ring: Ring,
    /// The socket of the caller, which is told how the call goes on.
    pub socket: SocketId,
    /// Where the answer goes.
    pub reply: Reply,
}

/// A step of a call.
pub struct CallCommand {
    /// Which one.
    pub call: CallId,
    /// What is said to it.
    pub step: CallStep,
    /// Where the answer goes.
    pub reply: Reply,
}

/// Names one ordered message of a member.
#[derive(Clone, Debug)]
pub struct MessageId {
    /// The member.
    pub peer: PeerId,
    /// The socket it came over: an answer goes to no other.
    pub socket: SocketId,
    /// The member's count.
    pub mid: Mid,
}

/// A message with a `mid`, which takes a place in the log.
#[derive(Debug)]
pub enum Ordered {
    /// A signal to one member, or to all others.
    Signal {
        /// The receiver; all others if `None`.
        to: Option<PeerId>,
        /// Relayed byte for byte.
        data: Payload,
        /// Its way to the log, where it is traced.
        span: Option<Box<Span>>,
    },
    /// Replaces the member's `meta`.
    Update(Payload),
    /// Refused for good before it reached the room; it uses its `mid` up all the same.
    Refuse(ErrorCode, String),
}

/// A join, with what goes into its answer.
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
    /// Answers that the request took effect.
    pub fn ok(&self, event: Option<FrameEvent>) {
        let frame = ServerMessage::Ok { id: self.id }.to_json();
        self.outbox.push(Delivery { frame: frame.into(), event });
    }

    /// Answers that the request was refused.
    pub fn refuse(&self, error: ErrorFrame<'_>, event: Option<FrameEvent>) {
        let frame = ServerMessage::Error(ErrorFrame { id: self.id, ..error }).to_json();
        self.outbox.push(Delivery { frame: frame.into(), event });
    }
}
