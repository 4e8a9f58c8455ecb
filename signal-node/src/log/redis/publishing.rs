//! The kind of pub/sub.

use std::str::FromStr;

/// How rooms are published: `SPUBLISH` (Redis 7, and Cluster) or `PUBLISH`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publishing {
    /// Sharded pub/sub: an entry only travels within the shard of its room.
    #[default]
    Sharded,
    /// Plain pub/sub, for servers without the sharded kind.
    Plain,
}

impl Publishing {
    /// Returns the command that publishes.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Sharded => "SPUBLISH",
            Self::Plain => "PUBLISH",
        }
    }
}

impl FromStr for Publishing {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sharded" => Ok(Self::Sharded),
            "plain" => Ok(Self::Plain),
            _ => Err("write sharded or plain"),
        }
    }
}
