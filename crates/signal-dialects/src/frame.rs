//! What a dialect reads of the frames of `signal.v1`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A frame that concerns a dialect.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    /// The join with this id took effect, as the member number `n`, with those who were there.
    Joined { id: Option<u64>, n: u64, peers: Vec<Line<'a>> },
    /// The request with this id took effect.
    Done { id: Option<u64> },
    /// The request with this id was refused, and when to try again, in milliseconds.
    Refused { id: Option<u64>, code: Cow<'a, str>, after: Option<u64> },
    /// The room ended the membership.
    Left { room: Cow<'a, str> },
    /// Somebody has joined.
    PeerJoined { room: Cow<'a, str>, peer: Cow<'a, str> },
    /// Somebody is gone.
    PeerLeft { room: Cow<'a, str>, peer: Cow<'a, str> },
    /// The log was lost, and these are left.
    Reset { room: Cow<'a, str>, peers: Vec<Line<'a>> },
    /// A post, as its sender wrote it.
    Posted { room: Cow<'a, str>, data: &'a RawValue },
    /// Of no concern to a dialect.
    Other,
}

/// Another member, and its number among the joins of the room.
#[derive(Debug, Deserialize)]
pub(crate) struct Line<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(default)]
    pub(crate) n: u64,
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
    #[serde(borrow, rename = "self")]
    me: Option<Line<'a>>,
    #[serde(borrow, default)]
    peers: Vec<Line<'a>>,
    /// A line, or in `peer_left` the id alone.
    #[serde(borrow)]
    peer: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    pub(crate) fn read(text: &'a str) -> Self {
        let Ok(fields) = serde_json::from_str::<Fields<'a>>(text) else { return Self::Other };
        let Fields { kind, id, room, code, after, data, me, peers, peer } = fields;
        match (&*kind, room, code, data) {
            ("joined", ..) => Self::Joined { id, n: me.map_or(0, |me| me.n), peers },
            ("ok", ..) => Self::Done { id },
            ("error", _, Some(code), _) => Self::Refused { id, code, after },
            ("left", Some(room), ..) => Self::Left { room },
            ("reset", Some(room), ..) => Self::Reset { room, peers },
            ("peer_joined", Some(room), ..) => match read::<Line<'_>>(peer) {
                Some(line) => Self::PeerJoined { room, peer: line.id },
                None => Self::Other,
            },
            ("peer_left", Some(room), ..) => match read(peer) {
                Some(peer) => Self::PeerLeft { room, peer },
                None => Self::Other,
            },
            ("signal", Some(room), _, Some(data)) => Self::Posted { room, data },
            _ => Self::Other,
        }
    }
}

fn read<'a, T: Deserialize<'a>>(text: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(text?.get()).ok()
}
