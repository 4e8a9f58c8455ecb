//! Types that entries and calls share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use signal_protocol::{NodeId, PeerId, Seq, Subject};

/// JSON that a node relays byte for byte.
pub type Payload = Arc<RawValue>;

/// Names one socket for as long as it lives; tells a repeated join from a competing one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId(pub(super) u64);

impl SocketId {
    /// Draws a new one.
    #[must_use]
    pub fn random() -> Self {
        Self(u64::from_le_bytes(service_kit::random::bytes()))
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketId({self})")
    }
}

/// One line of a roster.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct RosterMember {
    pub peer: PeerId,
    /// The node that holds its socket, or held it last.
    pub node: NodeId,
    /// Its number among the joins of the room.
    pub n: u64,
    /// The generation that its last join gave it; a suspicion since then has raised it.
    pub joined: Seq,
    /// The subject of its token; `None` if anonymous.
    pub user: Option<Subject>,
    /// For how long it has been away, if it is.
    pub away: Option<Duration>,
    /// What it tells about itself.
    pub meta: Payload,
}
