//! The load of this node.

use crate::log::Load;
use crate::metrics::Metrics;

/// Reads the load of this node from its metrics.
pub(super) fn own_load(metrics: &Metrics) -> Load {
    Load {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        connections: metrics.connections.get(),
        rooms: metrics.rooms.get(),
        draining: metrics.draining.get() != 0,
    }
}
