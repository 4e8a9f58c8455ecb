//! What a dialect reads of the frames of `signal.v1`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A frame that concerns a dialect.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    /// The connection is authenticated.
    Welcome,
    /// The join with this id took effect, as the member number `n`, with those who were there.
    Joined { id: Option<u64>, n: u64, at: Position<'a>, peers: Vec<Line<'a>> },
    /// The request with this id took effect.
    Done { id: Option<u64> },
    /// The request with this id was refused, and when to try again, in milliseconds.
    Refused { id: Option<u64>, code: Cow<'a, str>, after: Option<u64> },
    /// A signal of the client was refused.
    SignalRefused { mid: u64, refusal: SignalRefusal },
    /// The signals of the client up to this count are settled.
    Settled { room: Cow<'a, str>, mid: u64, seq: u64 },
    /// The room ended the membership.
    Left { room: Cow<'a, str> },
    /// Somebody has joined.
    PeerJoined { room: Cow<'a, str>, seq: u64, peer: Line<'a> },
    /// Somebody is gone.
    PeerLeft { room: Cow<'a, str>, seq: u64, peer: Cow<'a, str> },
    /// Somebody has lost its socket, or is back.
    PeerUpdated { room: Cow<'a, str>, seq: u64 },
    /// The log was lost, and these are left.
    Reset { room: Cow<'a, str>, at: Position<'a>, peers: Vec<Line<'a>> },
    /// A post or a signal, as its sender wrote it.
    Posted { room: Cow<'a, str>, seq: u64, data: &'a RawValue },
    /// Of no concern to a dialect.
    Other,
}

/// Where a member stands in its room.
#[derive(Debug)]
pub(crate) struct Position<'a> {
    /// The entry that it has got.
    pub(crate) seq: u64,
    /// How many of its signals are settled.
    pub(crate) mid: u64,
    /// `new`, `replay` or `snapshot`, in the answer of a join.
    pub(crate) recovery: Cow<'a, str>,
}

/// Why a signal was refused, and whether it may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalRefusal {
    /// It may be sent again, after so many milliseconds if the node says so, and from this count on if it came out of order.
    Retry { after: Option<u64>, expected: Option<u64> },
    /// It is refused for good, and its count is used up.
    Final,
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
    #[serde(default)]
    seq: u64,
    mid: Option<u64>,
    #[serde(borrow, default)]
    recovery: Cow<'a, str>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
    #[serde(default)]
    retry: bool,
    after: Option<u64>,
    expected: Option<u64>,
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
        let kind = fields.kind.clone();
        match &*kind {
            "welcome" => Self::Welcome,
            "ok" => Self::Done { id: fields.id },
            "error" => fields.error(),
            "joined" => Self::Joined {
                id: fields.id,
                n: fields.me.as_ref().map_or(0, |me| me.n),
                at: fields.position(),
                peers: fields.peers,
            },
            _ => fields.of_room(&kind).unwrap_or(Self::Other),
        }
    }
}

impl<'a> Fields<'a> {
    fn position(&self) -> Position<'a> {
        let mid = self.mid.unwrap_or_default();
        Position { seq: self.seq, mid, recovery: self.recovery.clone() }
    }

    fn error(self) -> Frame<'a> {
        let Self { id, mid, code, retry, after, expected, .. } = self;
        match (mid, code) {
            (Some(mid), Some(_)) => {
                let retry = retry.then_some(SignalRefusal::Retry { after, expected });
                Frame::SignalRefused { mid, refusal: retry.unwrap_or(SignalRefusal::Final) }
            }
            (None, Some(code)) => Frame::Refused { id, code, after },
            (_, None) => Frame::Other,
        }
    }

    fn of_room(self, kind: &str) -> Option<Frame<'a>> {
        let at = self.position();
        let Self { room, seq, mid, data, peers, peer, .. } = self;
        let room = room?;
        Some(match kind {
            "left" => Frame::Left { room },
            "reset" => Frame::Reset { room, at, peers },
            "peer_joined" => Frame::PeerJoined { room, seq, peer: read(peer)? },
            "peer_left" => Frame::PeerLeft { room, seq, peer: read(peer)? },
            "peer_updated" => Frame::PeerUpdated { room, seq },
            "signal" => Frame::Posted { room, seq, data: data? },
            "ack" => Frame::Settled { room, mid: mid?, seq },
            _ => return None,
        })
    }
}

fn read<'a, T: Deserialize<'a>>(text: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(text?.get()).ok()
}
