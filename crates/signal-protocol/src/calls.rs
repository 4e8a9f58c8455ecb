//! Calls by the name of a user: one rings all devices of the other, and one of them gets the call.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::fields::{Meta, RequestId};
use crate::ids::{CallId, RoomId};
use crate::limits;
use crate::subject::Subject;

/// `call`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Call<'a> {
    pub id: Option<RequestId>,
    /// The callee.
    pub to: Subject,
    /// The name of the call, by which a repeated one is known.
    pub call: CallId,
    /// Where both meet, if the caller may enter it; otherwise a room of the call's own.
    pub room: Option<RoomId>,
    /// Seconds for which it rings.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    /// What the devices of the callee are told; an object of 4 KiB at most.
    #[serde(borrow)]
    pub data: Option<Meta<'a>>,
}

fn default_timeout() -> u64 {
    limits::RING_SECONDS_DEFAULT
}

/// `accept` and `decline`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct CallAnswer {
    pub id: Option<RequestId>,
    pub call: CallId,
}

/// `cancel`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Cancel {
    pub id: Option<RequestId>,
    /// The callee.
    pub to: Subject,
    pub call: CallId,
}

/// The call by which a client may enter a room (`join.call`).
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CallGrant {
    /// The callee, if it is not the user of the connection.
    pub to: Option<Subject>,
    pub call: CallId,
}

/// Why a call is over (`call_ended.reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEnd {
    /// The caller gave up.
    Cancelled,
    /// A device of the callee declined.
    Declined,
    /// Nobody answered in time.
    Timeout,
    /// Another device has the call: only this one is out of it.
    AnsweredElsewhere,
    /// Both called each other: the other call goes on.
    Glare,
    /// One of the two ended it after it was accepted.
    HungUp,
}

impl CallEnd {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Cancelled,
        Self::Declined,
        Self::Timeout,
        Self::AnsweredElsewhere,
        Self::Glare,
        Self::HungUp,
    ];

    /// Returns its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Declined => "declined",
            Self::Timeout => "timeout",
            Self::AnsweredElsewhere => "answered_elsewhere",
            Self::Glare => "glare",
            Self::HungUp => "hung_up",
        }
    }

    /// Finds it by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// `ring`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Serialize)]
pub struct RingView<'a> {
    pub call: &'a CallId,
    /// The caller.
    pub from: &'a Subject,
    pub room: &'a RoomId,
    /// Milliseconds for which it rings on.
    pub within: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'a RawValue>,
}

/// Tells which of two calls goes on when two users call each other: the one with the smaller name, on whichever side it is asked.
#[must_use]
pub fn survives_glare(own: &CallId, other: &CallId) -> bool {
    own < other
}
