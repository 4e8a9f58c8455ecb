//! What a session's task has to do, as values.

use std::sync::Arc;
use std::time::Duration;

use signal_protocol::calls::CallGrant;
use signal_protocol::client::RequestId;
use signal_protocol::presence::Users;
use signal_protocol::report::Report;
use signal_protocol::{
    CallId, CloseCode, ErrorCode, IceReason, IceServers, Mid, PeerId, PresenceState, RoomId,
    Subject,
};

use super::identity::SessionRejection;
use crate::log::{CallStep, Join, Payload, Ring, Volatile};
use crate::room::Ordered;

/// What the session's task has to do.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug)]
pub enum Effect {
    /// Queue `welcome`: the connection is open.
    Welcome(String),
    /// Queue this frame for the client.
    Send(String),
    /// Count a refusal and queue its frame.
    Refuse(ErrorCode, String),
    /// Send a WebSocket ping.
    Ping,
    /// End the connection after what is queued.
    Close(CloseCode),
    /// Say why in an `error` frame, then end the connection.
    Reject(Box<SessionRejection>),
    /// Verify a token and report with [`super::Machine::verified`].
    Verify(String, VerifyPurpose),
    /// Ask for ICE servers and report with [`super::Machine::ice_answered`].
    FetchIce(IcePurpose),
    /// Ask the room to take a member in.
    Join(RoomId, Box<Join>, Option<RequestId>, Option<Arc<IceServers>>),
    /// Hand a counted message to the room.
    Ordered(RoomId, PeerId, Mid, Ordered),
    /// Tell something once in the room.
    Tell(RoomId, Volatile),
    Leave(RoomId, PeerId, Option<RequestId>),
    /// Ask the inbox to take the device in.
    Online(Box<DeviceJoin>),
    Watch(Users),
    /// Ring the devices of a user.
    Call(Box<OutgoingCall>),
    StepCall {
        inbox: RoomId,
        call: CallId,
        step: CallStep,
        id: Option<RequestId>,
    },
    /// Ask whether a call opens the room, and report with [`super::Machine`].
    CheckCall(Box<CallJoin>),
    Unwatch(Users),
    /// End the watches that the new token does not allow.
    ReviewWatches,
    Kick(RoomId, PeerId, Duration, Option<RequestId>),
    /// Count and record what the client reports of a call of its member.
    Report(PeerId, Box<Report>),
}

/// What a token is verified for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyPurpose {
    /// `hello`
    Hello,
    /// `auth`
    Renew(Option<RequestId>),
}

/// What ICE servers are asked for.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug)]
pub enum IcePurpose {
    /// To go into `joined`.
    Join(RoomId, Box<Join>, Option<RequestId>),
    Request(Option<RequestId>),
    /// The former ones are halfway to their end, never came, or are not the best any more.
    Push(IceReason),
}

/// An `online` that may be.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug)]
pub struct DeviceJoin {
    pub inbox: RoomId,
    /// The join, whose `meta` says nothing yet.
    pub join: Join,
    pub state: PresenceState,
    /// What the device tells about itself.
    pub meta: Payload,
    pub id: Option<RequestId>,
}

/// A call that may be.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug)]
pub struct OutgoingCall {
    /// The callee.
    pub to: Subject,
    pub ring: Ring,
    pub id: Option<RequestId>,
}

/// A join that a call may give the right to.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug)]
pub struct CallJoin {
    pub room: RoomId,
    pub wish: Box<Join>,
    pub grant: CallGrant,
    pub id: Option<RequestId>,
}
