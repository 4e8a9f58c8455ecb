//! Relayed addresses that reach only one another.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::UdpSocket;
use tracing::debug;
use turn::Error;
use turn::relay::RelayAddressGenerator;
use webrtc_util::{Conn, Error as ConnError};

use super::allocations::Allocations;
use super::current_request::CurrentRequest;

/// Allocates relayed addresses on loopback and records whose they are.
pub(super) struct IsolatedAddressGenerator {
    pub(super) allocations: Allocations,
    pub(super) current: CurrentRequest,
}

#[async_trait]
impl RelayAddressGenerator for IsolatedAddressGenerator {
    fn validate(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Binds a relayed address on IPv4 loopback, where all peers are.
    async fn allocate_conn(
        &self,
        use_ipv4: bool,
        requested_port: u16,
    ) -> Result<(Arc<dyn Conn + Send + Sync>, SocketAddr), Error> {
        if !use_ipv4 {
            return Err(Error::ErrRelayAddressInvalid);
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, requested_port)).await?;
        let address = socket.local_addr()?;
        let allocations = self.allocations.clone();
        allocations.insert(address, self.current.owner());
        Ok((Arc::new(IsolatedRelaySocket { socket, address, allocations }), address))
    }
}

/// A relayed address. It is a permitted peer of the others until it is dropped.
struct IsolatedRelaySocket {
    socket: UdpSocket,
    address: SocketAddr,
    allocations: Allocations,
}

impl Drop for IsolatedRelaySocket {
    fn drop(&mut self) {
        self.allocations.remove(self.address);
    }
}

#[async_trait]
impl Conn for IsolatedRelaySocket {
    /// Receives a datagram from another relayed address; drops all others.
    async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), ConnError> {
        loop {
            let (length, from) = self.socket.recv_from(buf).await?;
            if self.allocations.contains(from) {
                return Ok((length, from));
            }
            debug!("dropped a datagram from outside the relay");
        }
    }

    /// Sends to another relayed address; a datagram to any other address is dropped, as UDP may.
    async fn send_to(&self, buf: &[u8], target: SocketAddr) -> Result<usize, ConnError> {
        if !self.allocations.contains(target) {
            debug!("dropped a datagram to outside the relay");
            return Ok(buf.len());
        }
        Ok(self.socket.send_to(buf, target).await?)
    }

    async fn recv(&self, buf: &mut [u8]) -> Result<usize, ConnError> {
        self.recv_from(buf).await.map(|(length, _)| length)
    }

    async fn connect(&self, _: SocketAddr) -> Result<(), ConnError> {
        Err(not_connected())
    }

    async fn send(&self, _: &[u8]) -> Result<usize, ConnError> {
        Err(not_connected())
    }

    fn local_addr(&self) -> Result<SocketAddr, ConnError> {
        Ok(self.address)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    /// Does nothing: the address becomes free when the last clone is dropped.
    async fn close(&self) -> Result<(), ConnError> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

/// The error of methods that need a single peer.
pub(super) fn not_connected() -> ConnError {
    ConnError::Other("a relay socket has no single peer".to_owned())
}
