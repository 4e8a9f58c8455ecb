//! A TURN relay inside this process (RFC 8656), for testing relayed calls without coturn.
//!
//! Like coturn, it checks the expiry of a credential on allocation only. It relays only between its
//! own relayed addresses, so it cannot be used to reach anything else on this machine or its
//! networks. The `turn` crate implements the protocol; two sockets add what it lacks:
//! `AuthSocket` at the listener and `IsolatedAddressGenerator` at the relayed addresses.

mod allocations;
mod auth_socket;
mod current_request;
mod isolated_relay;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use service_kit::secrets::SecretSource;
use service_kit::settings::{Kind, Setting};
use tokio::net::UdpSocket;
use turn::server::Server;
use turn::server::config::{ConnConfig, ServerConfig};

use self::allocations::Allocations;
use self::auth_socket::AuthSocket;
pub use self::auth_socket::REALM;
use self::current_request::CurrentRequest;
use self::isolated_relay::IsolatedAddressGenerator;

/// Setting of the relay's address, for the schema with the prefix `ALL_IN_ONE`.
pub const TURN_LISTEN: Setting = Setting {
    name: "turn_listen",
    group: "relay",
    value: "ADDRESS",
    default: Some("127.0.0.1:3478"),
    help: "UDP address of the embedded TURN relay; port 0 picks a free one",
    kind: Kind::Plain,
};

/// A running relay; it stops when dropped.
pub struct EmbeddedRelay {
    address: SocketAddr,
    server: Server,
}

/// Errors of the relay.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedRelayError {
    /// The address cannot be bound.
    #[error("the TURN relay cannot listen on {address}: {source}")]
    Bind { address: SocketAddr, source: io::Error },
    /// The server failed.
    #[error("the TURN relay failed: {0}")]
    Server(#[from] turn::Error),
}

impl EmbeddedRelay {
    /// Binds `listen` over UDP and accepts credentials issued with `secrets`. A user gets `user_quota` allocations.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(
        listen: SocketAddr,
        secrets: SecretSource,
        user_quota: usize,
    ) -> Result<Self, EmbeddedRelayError> {
        let cannot_bind = |source| EmbeddedRelayError::Bind { address: listen, source };
        let socket = UdpSocket::bind(listen).await.map_err(cannot_bind)?;
        let address = socket.local_addr().map_err(cannot_bind)?;
        let (allocations, current) = (Allocations::default(), CurrentRequest::default());
        let conn =
            AuthSocket::new(socket, secrets, allocations.clone(), current.clone(), user_quota);
        let generator = IsolatedAddressGenerator { allocations, current: current.clone() };
        let server = Server::new(ServerConfig {
            conn_configs: vec![ConnConfig {
                conn: Arc::new(conn),
                relay_addr_generator: Box::new(generator),
            }],
            realm: REALM.to_owned(),
            auth_handler: Arc::new(current),
            channel_bind_timeout: Duration::ZERO, // the crate's own: ten minutes
            alloc_close_notify: None,
        })
        .await?;
        Ok(Self { address, server })
    }

    /// The bound address; port 0 is replaced by the port the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every allocation and closes the listener.
    ///
    /// # Errors
    /// When the server has already failed.
    pub async fn stop(self) -> Result<(), EmbeddedRelayError> {
        Ok(self.server.close().await?)
    }
}
