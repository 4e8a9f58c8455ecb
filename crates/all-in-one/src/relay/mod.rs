//! A TURN relay inside this process (RFC 8656), for trying relayed calls with nothing installed.
//!
//! It takes the credentials that the credential service issues, and looks at their end when an
//! allocation is asked for and not again, as coturn does. It relays between its own clients and
//! nowhere else: whatever is not one of its own relayed addresses is no peer, so it cannot be
//! used to reach anything on this machine or its networks. The protocol is the `turn` crate's;
//! here is what it lacks, in two sockets it is given: the gate in front of its listener and
//! the fence around each relayed address.

mod auth_socket;
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

use self::auth_socket::{AuthSocket, LastKey};
use self::isolated_relay::IsolatedAddressGenerator;

/// The realm of the relay; clients learn it from the first refusal (RFC 8489 §9.2.1).
pub const REALM: &str = "signal";

/// The setting for where the relay listens; for the schema with the prefix `ALL_IN_ONE`.
pub const TURN_LISTEN: Setting = Setting {
    name: "turn_listen",
    group: "relay",
    value: "ADDRESS",
    default: Some("127.0.0.1:3478"),
    help: "Where the embedded TURN relay listens (UDP); port 0 takes a free one",
    kind: Kind::Plain,
};

/// A running relay; it ends when dropped.
pub struct EmbeddedRelay {
    address: SocketAddr,
    server: Server,
}

/// Why the relay does not run.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedRelayError {
    /// The address cannot be bound.
    #[error("the TURN relay cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The server failed.
    #[error("the TURN relay failed: {0}")]
    Server(#[from] turn::Error),
}

impl EmbeddedRelay {
    /// Binds `listen` over UDP and relays for holders of credentials issued with `secrets`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(
        listen: SocketAddr,
        secrets: SecretSource,
    ) -> Result<Self, EmbeddedRelayError> {
        let cannot_bind = |source| EmbeddedRelayError::Bind { address: listen, source };
        let socket = UdpSocket::bind(listen).await.map_err(cannot_bind)?;
        let address = socket.local_addr().map_err(cannot_bind)?;
        let key = LastKey::default();
        let server = Server::new(ServerConfig {
            conn_configs: vec![ConnConfig {
                conn: Arc::new(AuthSocket::new(socket, secrets, key.clone())),
                relay_addr_generator: Box::new(IsolatedAddressGenerator::default()),
            }],
            realm: REALM.to_owned(),
            auth_handler: Arc::new(key),
            channel_bind_timeout: Duration::ZERO, // the crate's own: ten minutes
            alloc_close_notify: None,
        })
        .await?;
        Ok(Self { address, server })
    }

    /// Where it listens, with the port taken for port 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every allocation and closes the listener.
    ///
    /// # Errors
    /// When the server has failed before.
    pub async fn stop(self) -> Result<(), EmbeddedRelayError> {
        Ok(self.server.close().await?)
    }
}
