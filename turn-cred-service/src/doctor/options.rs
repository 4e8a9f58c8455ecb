//! Inputs and expectations of the checks.

use std::time::Duration;

use service_kit::secrets::Secrets;

use crate::relay::ConnectOptions;

/// Inputs and expectations of the checks.
#[derive(Clone, Debug)]
pub struct DoctorOptions<'a> {
    /// The secret that the relays should share.
    pub secrets: &'a Secrets,
    /// TTL of the credentials handed to clients.
    pub ttl: Duration,
    #[expect(missing_docs, reason = "the names say it all")]
    pub connect_options: ConnectOptions,
    /// Accept a relay that permits its own loopback, as one on a laptop must.
    pub allow_loopback: bool,
    /// The largest call that a relay must have allocations for.
    pub call_size: CallSize,
    /// Clock that expiries are computed from, in Unix seconds.
    pub now: fn() -> u64,
}

/// The largest call whose media may all go over relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSize {
    /// Members of a full-mesh room.
    pub members: usize,
    /// Networks that one machine gathers candidates on, such as Wi-Fi and Ethernet.
    pub networks: usize,
}

impl CallSize {
    /// Allocations of one member at a relay: one per other member, TURN URL and network. Browsers
    /// allocate for every combination before they know which one is used.
    pub(super) fn allocations(self, turn_urls: usize) -> usize {
        self.members.saturating_sub(1) * turn_urls * self.networks
    }
}
