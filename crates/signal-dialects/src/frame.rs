//! What a dialect reads of the frames of `signal.v1`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A frame that concerns a dialect.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    /// The join with this id took effect.
    Joined { id: Option<u64> },
    /// The request with this id took effect.
    Done { id: Option<u64> },
    /// The request with this id was refused, and when to try again, in milliseconds.
    Refused { id: Option<u64>, code: Cow<'a, str>, after: Option<u64> },
    /// The room ended the membership.
    Left { room: Cow<'a, str> },
    /// A post, as its sender wrote it.
    Posted { room: Cow<'a, str>, data: &'a RawValue },
    /// Of no concern to a dialect.
    Other,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    id: Option<u64>,
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
    after: Option<u64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    pub(crate) fn read(text: &'a str) -> Self {
        let Ok(fields) = serde_json::from_str::<Fields<'a>>(text) else { return Self::Other };
        let Fields { kind, id, room, code, after, data } = fields;
        match (&*kind, room, code, data) {
            ("joined", ..) => Self::Joined { id },
            ("ok", ..) => Self::Done { id },
            ("error", _, Some(code), _) => Self::Refused { id, code, after },
            ("left", Some(room), ..) => Self::Left { room },
            ("signal", Some(room), _, Some(data)) => Self::Posted { room, data },
            _ => Self::Other,
        }
    }
}
