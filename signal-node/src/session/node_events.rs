//! Events that concern all sessions of a node.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::handover::Handover;

/// The events of a node that concern all sessions. [`super::SessionTimers`] wakes the sessions for them.
#[derive(Clone)]
pub struct NodeEvents {
    /// True while the log has not answered for a lease.
    pub cut_off: watch::Receiver<bool>,
    /// Set when the node drains and asks its clients to move.
    pub handover: watch::Receiver<Option<Handover>>,
    /// Changes when more tokens are revoked.
    pub revoked: watch::Receiver<u64>,
    /// Cancelled when the node stops.
    pub stop: CancellationToken,
}
