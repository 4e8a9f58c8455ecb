//! Starts the parts in the order in which they need each other.

use std::io;

use service_kit::http::ListenAddr;
use service_kit::lifecycle::Lifecycle;
use service_kit::settings::{Environment, Faults};
use signal_node::node::Node;
use tempfile::TempDir;

use crate::relay::{EmbeddedRelay, EmbeddedRelayError};
use crate::settings::{Settings, wire_components, with_generated_secret};

/// All parts, running.
pub struct LocalCluster {
    /// Where the demo page is.
    pub public: ListenAddr,
    /// Where the node's probes and metrics are.
    pub admin: ListenAddr,
    /// The relay.
    pub relay: EmbeddedRelay,
    /// Holds the socket between the parts.
    _socket_dir: TempDir,
}

/// Why the parts could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting of a part cannot be used.
    #[error("{0}")]
    Settings(#[from] Faults),
    /// The relay has no place.
    #[error("{0}; see --turn-listen (127.0.0.1:0 takes a free port)")]
    Relay(#[from] EmbeddedRelayError),
    /// The credential service could not start.
    #[error("credential service: {0}; see TURN_CRED_LISTEN and TURN_CRED_ADMIN_LISTEN")]
    Credentials(#[from] turn_cred_service::StartError),
    /// The node could not start.
    #[error(
        "node: {0}; see SIGNAL_NODE_LISTEN and SIGNAL_NODE_ADMIN_LISTEN (127.0.0.1:0 takes a free port)"
    )]
    Node(#[from] signal_node::node::StartError),
    /// There is no place for the socket between them.
    #[error("cannot make a temporary folder: {0}")]
    Folder(#[from] io::Error),
}

impl LocalCluster {
    /// Starts relay, credential service and node; they end with `life`.
    ///
    /// # Errors
    /// [`StartError`] says which part, and what to set.
    pub async fn start(
        settings: &Settings,
        environment: Environment,
        life: &Lifecycle,
    ) -> Result<Self, StartError> {
        let environment = with_generated_secret(environment);
        let socket_dir = tempfile::tempdir()?;
        let secret = read_secret(&environment)?;
        let relay = EmbeddedRelay::start(settings.turn_listen, secret).await?;
        let environment = wire_components(environment, socket_dir.path(), relay.address());
        let config =
            turn_cred_service::Config::read(&resolve(turn_cred_service::SCHEMA, &environment))?;
        turn_cred_service::Service::start(config, life).await?;
        let config =
            signal_node::config::Config::read(&resolve(signal_node::config::SCHEMA, &environment))?;
        let Node { public, admin } = Node::start(config, life).await?;
        Ok(Self { public, admin, relay, _socket_dir: socket_dir })
    }
}

/// Reads a part's settings from its variables alone.
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
    Ok(secret.expect("it was set where it was not"))
}
