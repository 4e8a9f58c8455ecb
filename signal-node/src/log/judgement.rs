//! Which nodes are silent, and why a call may say so.

use std::time::Duration;

use signal_protocol::NodeId;

/// A node whose heartbeat has stopped.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    pub node: NodeId,
    /// For how long that has been certain.
    pub ago: Duration,
}

/// What a node says about the liveness of the others, with the time of its proof.
///
/// A call may wait, and the log's clock may step. So the log ignores a judgement whose `as_of` is further than `valid_for`
/// from its own time, before or behind it.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    pub silent: Vec<Silent>,
    /// The log's own time when this node was last in proven contact, since 1970-01-01T00:00:00Z.
    pub as_of: Duration,
    /// For how long that proves anything.
    pub valid_for: Duration,
}

impl Judgement {
    /// The judgement of a node that needs no proof, such as the only node of a log.
    #[must_use]
    pub fn certain(silent: Vec<Silent>) -> Self {
        Self { silent, as_of: Duration::ZERO, valid_for: Duration::MAX }
    }

    /// Tells whether it proves nothing at that time.
    #[must_use]
    pub fn is_stale(&self, now: Duration) -> bool {
        now.abs_diff(self.as_of) > self.valid_for
    }
}
