//! Settings of the program, and the defaults it gives its components.

use std::net::SocketAddr;
use std::path::Path;

use clap::ArgMatches;
use service_kit::random;
use service_kit::settings::{Environment, Faults, Schema, Setting};
use service_kit::telemetry::{LOG, LOG_FORMAT, LogSettings};

use crate::relay::TURN_LISTEN;

/// The settings of this program; components read their own variables.
pub const SCHEMA: Schema = Schema {
    program: "all-in-one",
    about: "A working video call on this machine: signaling node, TURN credentials and TURN relay in \
            one process.",
    prefix: "ALL_IN_ONE",
    examples: "\
Examples:
  # Start, then open the printed URL in two tabs
  all-in-one

  # On other ports; 0 takes a free one
  SIGNAL_NODE_LISTEN=127.0.0.1:0 all-in-one --turn-listen 127.0.0.1:0

The parts read their own variables too: SIGNAL_NODE_… and TURN_CRED_…; see signal-node --help and
turn-cred-service --help. Rooms are kept in memory, the TURN secret is a fresh one at every start.",
    settings: &[TURN_LISTEN, Setting { default: Some("warn"), ..LOG }, LOG_FORMAT],
    tables: &[],
};

/// The settings of this program.
#[expect(missing_docs, reason = "the names say it all")]
pub struct Settings {
    /// UDP address of the relay.
    pub turn_listen: SocketAddr,
    pub logging: LogSettings,
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// All faults.
    pub fn read(matches: &ArgMatches, environment: &Environment) -> Result<Self, Faults> {
        let resolved = SCHEMA.resolve(matches, environment);
        let mut reader = resolved.reader();
        let turn_listen = reader.parse(TURN_LISTEN.name);
        let logging = LogSettings::read(&mut reader);
        reader.finish()?;
        Ok(Self { turn_listen, logging })
    }
}

/// Sets the variables that connect the components; variables of the user take precedence.
#[must_use]
pub fn wire_components(
    environment: Environment,
    socket_dir: &Path,
    relay: SocketAddr,
) -> Environment {
    let socket = format!("unix:{}", socket_dir.join("turn-cred.sock").display());
    environment
        .with_default("TURN_CRED_INTERNAL_LISTEN", socket.as_str())
        .with_default("TURN_CRED_URIS", format!("turn:{relay}?transport=udp"))
        .with_default("SIGNAL_NODE_CREDENTIALS_URL", socket)
        .with_default("SIGNAL_NODE_DIALECTS", "topics,peerjs,matchbox,socketio")
        // No load balancer needs time to notice the shutdown.
        .with_default("SIGNAL_NODE_DRAIN_DELAY", "0s")
}

/// Generates the secret of relay and credential service unless one is set.
#[must_use]
pub fn with_generated_secret(environment: Environment) -> Environment {
    environment.with_default("TURN_CRED_SECRET", random::token() + &random::token())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_wired_and_user_settings_are_kept() {
        let set: Environment = [("TURN_CRED_URIS", "stun:other:3478")].into_iter().collect();
        let relay = "127.0.0.1:3478".parse().unwrap();
        let wired = wire_components(with_generated_secret(set), Path::new("/run"), relay);
        assert_eq!(wired.get("TURN_CRED_URIS"), Some("stun:other:3478"));
        assert_eq!(wired.get("SIGNAL_NODE_CREDENTIALS_URL"), Some("unix:/run/turn-cred.sock"));
        assert!(wired.get("TURN_CRED_SECRET").unwrap().len() >= 32);
    }
}
