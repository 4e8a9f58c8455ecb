//! The settings of every session of a node.

use std::time::Duration;

use service_kit::settings::Rate;
use signal_protocol::NodeId;

/// The `features` of `welcome`; the last one is of a node that takes reports.
const FEATURES: [&str; 6] = ["resume", "volatile", "ice", "presence", "call", "report"];

/// Settings of every session of this node.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct SessionSettings {
    pub node: NodeId,
    pub ping: Duration,
    /// How long a client may take to resume after its socket was lost.
    pub grace: Duration,
    /// The message rate of one connection.
    pub rate: Rate,
    /// The largest client frame, in bytes.
    pub max_message: usize,
    /// The most rooms of one connection.
    pub rooms_per_connection: usize,
    /// The most rooms of one client, over all of its connections; see [`crate::room_quota`].
    pub rooms_per_client: usize,
    /// The most users that one connection watches.
    pub watches_per_connection: usize,
    /// The capacity of a room that has none configured.
    pub room_capacity: u32,
    /// The most members of one subject in a room.
    pub members_per_sub: u32,
    /// The most unsent bytes of one connection.
    pub outbox_bytes: usize,
    /// Whether a credential service is configured, which issues ICE servers.
    pub relays: bool,
    /// Whether clients may report how their calls go.
    pub reports: bool,
}

impl SessionSettings {
    /// Returns the `features` of `welcome`.
    pub(super) fn features(&self) -> &'static [&'static str] {
        if self.reports { &FEATURES } else { &FEATURES[..FEATURES.len() - 1] }
    }
}
