//! Starts the components in dependency order: relay, credential service, node.

use std::io;

use service_kit::http::ListenAddr;
use service_kit::lifecycle::Lifecycle;
use service_kit::settings::{Environment, Faults};
use signal_node::node::Node;
use tempfile::TempDir;

use crate::relay::{EmbeddedRelay, EmbeddedRelayError};
use crate::settings::{Settings, wire_components, with_generated_secret};

/// Allocations of one user at the relay: (members − 1) × TURN URLs × networks for each member of a room of 8 with two
/// networks. The members are tabs of this machine, so all of them share the pseudonym of its address.
const USER_QUOTA: usize = 8 * (8 - 1) * 2;

#[expect(missing_docs, reason = "the names say it all")]
pub struct LocalCluster {
    /// Address of the node.
    pub public: ListenAddr,
    /// Address of the demo page for a person to open; with the token that lets it in, if one is needed.
    pub page: String,
    /// Address of the node's probes and metrics.
    pub admin: ListenAddr,
    pub relay: EmbeddedRelay,
    /// Where clients of other protocols connect: the name of each dialect, and its address.
    pub dialects: Vec<(&'static str, String)>,
    /// Contains the socket file between node and credential service; deleted on drop.
    _socket_dir: TempDir,
}

/// Reasons why a component could not start.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting of a component is unusable.
    #[error("{0}")]
    Settings(#[from] Faults),
    #[error("{0}; see --turn-listen (127.0.0.1:0 takes a free port)")]
    Relay(#[from] EmbeddedRelayError),
    #[error("credential service: {0}; see TURN_CRED_LISTEN and TURN_CRED_ADMIN_LISTEN")]
    Credentials(#[from] turn_cred_service::StartError),
    #[error(
        "node: {0}; see SIGNAL_NODE_LISTEN and SIGNAL_NODE_ADMIN_LISTEN (127.0.0.1:0 takes a free \
         port)"
    )]
    Node(#[from] signal_node::node::StartError),
    /// The directory of the socket file could not be created.
    #[error("cannot make a temporary folder: {0}")]
    Folder(#[from] io::Error),
}

/// The client of Socket.IO 4 as it is published, with its licence beside it, for pages that load it from the server.
const SOCKETIO_CLIENT: &[u8] = include_bytes!("../assets/socket.io-client/socket.io.min.js");

impl LocalCluster {
    /// Starts relay, credential service and node; they end with `life`.
    ///
    /// # Errors
    /// [`StartError`] contains the component and the setting to change.
    pub async fn start(
        settings: &Settings,
        environment: Environment,
        life: &Lifecycle,
    ) -> Result<Self, StartError> {
        let environment = with_generated_secret(environment);
        let socket_dir = tempfile::tempdir()?;
        let secret = read_secret(&environment)?;
        let relay = EmbeddedRelay::start(settings.turn_listen, secret, USER_QUOTA).await?;
        let environment = wire_components(environment, socket_dir.path(), relay.address());
        let config =
            turn_cred_service::Config::read(&resolve(turn_cred_service::SCHEMA, &environment))?;
        turn_cred_service::Service::start(config, life).await?;
        let mut config =
            signal_node::config::Config::read(&resolve(signal_node::config::SCHEMA, &environment))?;
        config.socketio_client.get_or_insert_with(|| SOCKETIO_CLIENT.into());
        let node = Node::start(config, life).await?;
        let page = node.page().unwrap_or_else(|| format!("http://{}/?room=demo", node.public));
        let dialects = node.dialect_addresses();
        let Node { public, admin, .. } = node;
        Ok(Self { public, page, admin, relay, dialects, _socket_dir: socket_dir })
    }
}

/// Reads a component's settings from the environment alone, without flags.
fn resolve(
    schema: service_kit::settings::Schema,
    environment: &Environment,
) -> service_kit::settings::Resolved {
    let no_flags = schema.command().get_matches_from([schema.program]);
    schema.resolve(&no_flags, environment)
}

fn read_secret(environment: &Environment) -> Result<service_kit::secrets::SecretSource, Faults> {
    let resolved = resolve(turn_cred_service::SCHEMA, environment);
    let mut reader = resolved.reader();
    let secret = reader.secrets("secret");
    reader.finish()?;
    Ok(secret.expect("a secret was generated unless one was set"))
}
