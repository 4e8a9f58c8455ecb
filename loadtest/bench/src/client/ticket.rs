//! The parameters of a connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Clients that share a source address: as many as a node takes from one by default.
const PER_ADDRESS: u32 = 200;

/// A connection to be opened.
#[derive(Clone, Debug)]
pub(crate) struct PlannedConnection {
    pub(crate) door: SocketAddr,
    /// The room to be in.
    pub(crate) room: String,
    /// Counts the clients of a run; makes the name, the key and the source address.
    pub(crate) number: u32,
    /// Where the client was before, if it comes back.
    pub(crate) back: Option<u64>,
}

impl PlannedConnection {
    /// Returns the address to connect from: loopback addresses in turn, since servers count connections by address.
    pub(super) fn source(&self) -> SocketAddr {
        let [.., high, low] = (self.number / PER_ADDRESS + 1).to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 1, high, low)), 0)
    }
}
