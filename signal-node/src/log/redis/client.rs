//! A client of fred, as [`RedisAccess`] says.

use std::fmt::Write as _;
use std::time::Duration;

use fred::clients::Client;
use fred::types::config::{
    Config, ReconnectPolicy, Server, ServerConfig, TcpConfig, TlsConnector, UnresponsiveConfig,
};
use fred::types::{Builder, RespVersion};
use service_kit::redis_access::{Certificates, Login, RedisAccess, Topology};

use crate::log::LogError;

/// How long one command may take; after that its outcome is unknown.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);

/// How often fred sends a command: a call of unknown outcome is the caller's to repeat.
const ATTEMPTS: u32 = 1;

/// Commands that may wait to be written. More are told that Redis is too slow.
const WAITING_COMMANDS: usize = 100_000;

/// Messages that fred's broadcast channel holds before it drops the oldest. A dropped message costs one read of the
/// log by each room, not the message. fred allocates as many slots up front for every event channel of each client:
/// at 65,536, 90 MiB before the first connection.
const MESSAGE_BUFFER: usize = 4_096;

/// Makes a client that is not connected yet, with the password as it is now.
pub(super) fn client(access: &RedisAccess) -> Result<Client, LogError> {
    let mut builder = Builder::from_config(config(access)?);
    builder
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIMEOUT;
            performance.broadcast_channel_capacity = MESSAGE_BUFFER;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = COMMAND_TIMEOUT;
            connection.internal_command_timeout = COMMAND_TIMEOUT;
            connection.max_command_attempts = ATTEMPTS;
            connection.max_command_buffer_len = WAITING_COMMANDS;
            connection.reconnect_on_auth_error = true;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
            // Silence is the watchdog's to notice: fred counts it from the last write.
            connection.unresponsive = UnresponsiveConfig::default();
        })
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 500, 2));
    Ok(builder.build()?)
}

fn config(access: &RedisAccess) -> Result<Config, LogError> {
    let tls = access.tls.as_ref().map(Certificates::client_config).transpose();
    let tls = tls.map_err(|error| LogError::Rejected(format!("TLS: {error}")))?;
    let (username, password) = words(&access.login);
    // A user that was given the rights of the manual may not SELECT, and database 0 needs none.
    let database = Some(access.database).filter(|database| *database != 0);
    Ok(Config {
        server: servers(access),
        username,
        password,
        database,
        tls: tls.map(|config| TlsConnector::from(config).into()),
        // RESP3 lets a subscriber's connection carry other commands too.
        version: RespVersion::RESP3,
        ..Config::default()
    })
}

fn servers(access: &RedisAccess) -> ServerConfig {
    let mut hosts: Vec<Server> =
        access.servers.iter().map(|server| Server::new(&server.host, server.port)).collect();
    match &access.topology {
        // Each server of a cluster has a client of its own: see `shards.rs`.
        Topology::Single | Topology::Cluster => {
            ServerConfig::Centralized { server: hosts.swap_remove(0) }
        }
        Topology::Sentinel { name } => {
            // At the Sentinels fred sends `AUTH`, of which each word is sent as it is.
            let Login { username, .. } = access.sentinel_login.clone();
            let password = access.sentinel_login.password().map(|text| text.expose().to_owned());
            ServerConfig::Sentinel { hosts, service_name: name.clone(), username, password }
        }
    }
}

fn words(login: &Login) -> (Option<String>, Option<String>) {
    let password = login.password().map(|password| inline(password.expose()));
    (login.username.as_deref().map(inline), password)
}

/// Writes a text as one word of an inline command: fred sends `HELLO` as a line, in which a blank ends a word and a
/// quote begins one (`sdssplitargs` of Redis).
fn inline(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let mut word = "\"".to_owned();
    for byte in text.bytes() {
        let _ = write!(word, "\\x{byte:02x}");
    }
    word + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_an_inline_command_holds_any_character() {
        assert_eq!(inline("p@ss/w#rd!"), "p@ss/w#rd!");
        assert_eq!(inline("a b"), "\"\\x61\\x20\\x62\"");
        assert_eq!(inline("\""), "\"\\x22\"");
    }

    #[test]
    fn a_seed_of_ipv6_is_an_address_without_brackets() {
        let access = RedisAccess::from_url("redis://[2001:db8::2]:7001").unwrap();
        let ServerConfig::Centralized { server } = servers(&access) else { panic!() };
        assert_eq!((&*server.host, server.port), ("2001:db8::2", 7_001));
    }
}
