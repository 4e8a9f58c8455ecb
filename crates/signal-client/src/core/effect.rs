//! What goes into the machine and what comes out of it.

use std::time::Duration;

use signal_protocol::{IceServers, PeerId, RoomId, Seq};

use super::event::{Payload, RoomEvent, SendError, Stop};
use super::token::Token;

/// Names a socket of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names a membership to its driver, which draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// Names a message or a request to its driver, which draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are what their types and the variant say")]
pub enum Input<'a> {
    /// The time has come that [`Machine::wake_at`](super::Machine::wake_at) named.
    Tick,
    /// A token was fetched, or not. `unix_now` is what this machine believes the time to be.
    Token { token: Option<Token>, unix_now: Duration },
    /// A text frame arrived.
    Text { link: LinkId, text: &'a str },
    /// A sign of life arrived that is no frame of the protocol.
    Alive { link: LinkId },
    /// The driver does not read for now, so that silence means nothing.
    NotReading,
    /// A socket ended, or could not be opened.
    Closed { link: LinkId, code: u16, message: &'a str, retry_after: Option<Duration> },
    /// Become a member of a room.
    Join { member: MemberId, room: RoomId, meta: Option<Payload> },
    /// Send to one member, or to all others.
    Signal { member: MemberId, ticket: Ticket, to: Option<PeerId>, data: Payload },
    /// Send once, at best.
    Volatile { member: MemberId, to: Option<PeerId>, data: Payload },
    /// Replace the member's `meta`.
    Update { member: MemberId, ticket: Ticket, meta: Payload },
    /// Remove another member, and keep it out for `ban` seconds.
    Kick { member: MemberId, ticket: Ticket, peer: PeerId, ban: Option<u64> },
    /// Leave a room for good.
    Leave { member: MemberId, ticket: Ticket },
    /// Ask for fresh ICE servers.
    AskForIce,
    /// Close every socket and stay closed.
    Stop,
}

/// What is to be done.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are what their types and the variant say")]
pub enum Effect {
    Open {
        link: LinkId,
        token: Option<Token>,
    },
    /// Send a text frame.
    Send {
        link: LinkId,
        text: String,
    },
    /// Close a socket once everything before is written; nothing of it is heard any more.
    Close {
        link: LinkId,
        code: u16,
    },
    /// Ask the provider for a token.
    FetchToken,
    State(State),
    /// A socket was welcomed.
    Welcomed {
        link: LinkId,
    },
    /// The connection moves to another node.
    Moving(MoveReason),
    /// These are the ICE servers from now on.
    Ice(IceServers),
    /// Something happened in a room.
    Room {
        member: MemberId,
        event: RoomEvent,
    },
    /// An `ack` moved the position of a member.
    Position {
        member: MemberId,
        seq: Seq,
    },
    /// A node sent something that is no frame of the protocol; it is ignored.
    Unreadable {
        error: String,
    },
    /// A message or a request came to its end.
    Settled {
        ticket: Ticket,
        result: Result<(), SendError>,
    },
}

/// Why the connection moves to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveReason {
    /// The node is about to stop.
    Drain,
    /// The node lost Redis.
    Outage,
}

/// Where the connection stands.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A socket is being opened.
    Connecting,
    /// Frames are sent and received.
    Open {
        /// The node at the other end.
        node: String,
    },
    /// The next attempt is made after a pause.
    Waiting {
        /// How long the pause is.
        retry_in: Duration,
        because: Loss,
    },
    /// No attempt is made any more.
    Stopped(Stop),
}

/// How a connection was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The socket ended, or could not be opened.
    Closed {
        /// The close code: 1006 without a close frame, 1015 if TLS failed. Or the HTTP status with which the upgrade was
        /// answered.
        code: u16,
        /// What the node or the system said.
        message: String,
    },
    /// No token could be fetched.
    NoToken,
}
