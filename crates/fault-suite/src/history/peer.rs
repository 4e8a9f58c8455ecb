//! A short name for a member: which client, and in which of its lives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Clients from this number on note nothing: others see them come and go, and what they say is no part of a history.
pub const UNRECORDED: u32 = 1_000_000;

/// One identity of a client; a new key is a new life. Written `17.0`.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    pub client: u32,
    /// How many keys it had before this one.
    pub life: u32,
}

/// The text is no peer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a peer is written 17.0, not {0:?}")]
pub struct ParsePeerError(String);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.client, self.life)
    }
}

impl FromStr for Peer {
    type Err = ParsePeerError;

    fn from_str(text: &str) -> Result<Self, ParsePeerError> {
        let read = |(client, life): (&str, &str)| {
            Some(Self { client: client.parse().ok()?, life: life.parse().ok()? })
        };
        text.split_once('.').and_then(read).ok_or_else(|| ParsePeerError(text.to_owned()))
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Owned, since the flattened parts of an event are buffered on the way here.
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
