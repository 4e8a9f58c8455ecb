//! Why a frame was not understood, and what could be read of it nevertheless.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codes::ErrorCode;
use crate::fields::{RequestId, is_too_large};
use crate::ids::{Mid, RoomId};

/// Why a frame was not understood, with what could be read of it, so that the reply finds its request.
#[derive(Debug, PartialEq, Eq)]
pub struct FrameFault {
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLarge`] or [`ErrorCode::Unsupported`].
    pub code: ErrorCode,
    /// The request it answers.
    pub id: Option<RequestId>,
    /// The kept message it answers; only beside `room`.
    pub mid: Option<Mid>,
    /// The room of that message.
    pub room: Option<RoomId>,
    /// What is wrong, for a developer to read.
    pub message: String,
}

/// What is read of a frame that is otherwise wrong; each field stands or falls alone.
#[derive(Default, Deserialize)]
struct PartialFrame<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    mid: Option<&'a RawValue>,
    #[serde(borrow)]
    room: Option<&'a RawValue>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
}

fn read<'a, T: Deserialize<'a>>(value: Option<&'a RawValue>) -> Option<T> {
    value.and_then(|raw| serde_json::from_str(raw.get()).ok())
}

pub(crate) fn refuse(text: &str, code: ErrorCode, message: String) -> FrameFault {
    describe(&serde_json::from_str(text).unwrap_or_default(), code, message)
}

fn describe(found: &PartialFrame<'_>, code: ErrorCode, message: String) -> FrameFault {
    let room = read(found.room);
    let mid = if room.is_some() { read(found.mid) } else { None };
    FrameFault { code, id: read(found.id), mid, room, message }
}

pub(crate) fn fault(text: &str, error: &serde_json::Error) -> FrameFault {
    refuse(text, ErrorCode::BadRequest, error.to_string())
}

/// Describes a message whose kind may carry `meta`, which has a code of its own for too many bytes.
pub(crate) fn fault_with_meta(text: &str, error: &serde_json::Error) -> FrameFault {
    let found: PartialFrame<'_> = serde_json::from_str(text).unwrap_or_default();
    let too_large = found.meta.is_some_and(is_too_large);
    let code = if too_large { ErrorCode::TooLarge } else { ErrorCode::BadRequest };
    describe(&found, code, error.to_string())
}

pub(crate) fn unsupported(text: &str, kind: &str) -> FrameFault {
    let shown: String = kind.chars().take(32).collect();
    refuse(text, ErrorCode::Unsupported, format!("there is no message of type {shown:?}"))
}
