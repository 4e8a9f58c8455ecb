//! Reads and cross-checks the settings of the service.

mod credentials;
mod origin;
mod pools;
mod schema;

use std::time::Duration;

use service_kit::http::{ListenAddr, Proxies, SOCKET_MODE, SocketMode};
use service_kit::redis_access::RedisAccess;
use service_kit::secrets::SecretSource;
use service_kit::settings::{Faults, Rate, Reader, Resolved};
use service_kit::telemetry::LogSettings;
use service_kit::tokens::{JWKS_FILE, JWKS_URL, JWT_SECRET, TokenSettings, Verifier};

pub use credentials::{CredentialSettings, DbSettings, KeySettings};
pub use origin::AllowedOrigin;
pub use schema::SCHEMA;

/// Timeout of each step of a relay probe.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The settings, read and checked against each other.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug)]
pub struct Config {
    pub listen: ListenAddr,
    /// `None` disables the internal listener.
    pub internal_listen: Option<ListenAddr>,
    /// Bearer tokens accepted on the internal listener; mandatory there over TCP.
    pub internal_token: Option<SecretSource>,
    pub admin_listen: ListenAddr,
    /// The mode of socket files.
    pub socket_mode: SocketMode,
    /// Origins allowed by CORS.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// The proxies whose headers about a client are believed.
    pub proxies: Proxies,
    pub credentials: CredentialSettings,
    /// The Redis of the nodes; `None`: it is that of the relays, if there is one.
    pub rooms_redis: Option<RedisAccess>,
    /// The prefix of the nodes' keys.
    pub rooms_redis_prefix: String,
    /// Interval of the relay probes; zero disables them.
    pub probe_every: Duration,
    /// Verifies the JWTs of the public listener.
    pub verifier: Verifier,
    /// Keys of servers that request credentials for their users.
    pub api_keys: Option<SecretSource>,
    pub rate_per_subject: Rate,
    pub rate_per_ip: Rate,
    pub logging: LogSettings,
}

impl Config {
    /// Reads all settings.
    ///
    /// # Errors
    /// Every fault found in them.
    ///
    /// # Panics
    /// Never: each absent value has been reported as a fault.
    pub fn read(resolved: &Resolved) -> Result<Self, Faults> {
        let mut reader = resolved.reader();
        let listen = reader.parse("listen");
        let internal_listen = reader.optional_parse("internal_listen");
        let internal_token = reader.secrets("internal_token");
        let admin_listen = reader.parse("admin_listen");
        let socket_mode: SocketMode = reader.parse(SOCKET_MODE.name);
        let allowed_origins = reader.parse_list("allowed_origins");
        let proxies = Proxies::read(&mut reader);
        let (rate_per_subject, rate_per_ip) =
            (reader.rate("rate_per_subject"), reader.rate("rate_per_ip"));
        let logging = LogSettings::read(&mut reader);
        let credentials = CredentialSettings::read(&mut reader);
        if !reader.is_set("uris") && !reader.has_tables("pools") {
            reader.fault("uris", "is needed: the relays, such as turn:HOST:3478?transport=udp");
        }
        let rooms_redis = read_rooms_redis(&mut reader);
        let rooms_redis_prefix = reader.text("rooms_redis_prefix");
        let probe_every = reader.duration("probe_every");
        let verifier = TokenSettings::read(&mut reader).verifier(&mut reader);
        let api_keys = reader.secrets("api_keys");
        let is_tcp = matches!(internal_listen, Some(ListenAddr::Tcp(_)));
        if is_tcp && !reader.is_set("internal_token") {
            let token = "TURN_CRED_INTERNAL_TOKEN_FILE";
            reader.fault("internal_listen", format_args!("is TCP and needs {token}"));
        }
        if internal_listen.is_some() && internal_token.is_none() && socket_mode.is_open_to_all() {
            let what = "lets every user of this machine ask in the name of any subject: write 660, or set \
                        TURN_CRED_INTERNAL_TOKEN_FILE";
            reader.fault(SOCKET_MODE.name, what);
        }
        check_callers(&mut reader);
        reader.finish()?;
        Ok(Self {
            listen,
            internal_listen,
            internal_token,
            admin_listen,
            socket_mode,
            allowed_origins,
            proxies,
            credentials: credentials.expect("a missing value was reported as a fault"),
            rooms_redis,
            rooms_redis_prefix,
            probe_every,
            verifier: verifier.expect("a missing value was reported as a fault"),
            api_keys,
            rate_per_subject,
            rate_per_ip,
            logging,
        })
    }
}

/// Reports that no listener could authenticate a caller.
fn check_callers(reader: &mut Reader<'_>) {
    let ways = [JWT_SECRET.name, JWKS_URL.name, JWKS_FILE.name, "api_keys", "internal_listen"];
    if !ways.iter().any(|name| reader.is_set(name)) {
        let others = "nor TURN_CRED_JWKS_URL, TURN_CRED_JWKS_FILE, TURN_CRED_API_KEYS or \
                      TURN_CRED_INTERNAL_LISTEN";
        reader.fault(
            "jwt_secret",
            format_args!("is not set, {others}: no caller could authenticate"),
        );
    }
}

/// Reads where the nodes keep what is revoked.
fn read_rooms_redis(reader: &mut Reader<'_>) -> Option<RedisAccess> {
    let url = reader.secret_text("rooms_redis_url")?;
    let access = RedisAccess::from_url(url.expose());
    access
        .map_err(|error| reader.fault("rooms_redis_url", format_args!("is not usable: {error}")))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_kit::settings::Environment;

    const KEY: &str = "north-star-secret-of-thirty-two-bytes";
    const URI: &str = "turn:127.0.0.1:3478";

    fn read<const N: usize>(variables: [(&str, &str); N]) -> Result<Config, Vec<String>> {
        let matches = SCHEMA.command().try_get_matches_from(["turn-cred-service"]).unwrap();
        let resolved = SCHEMA.resolve(&matches, &Environment::from(variables));
        Config::read(&resolved).map_err(|faults| faults.iter().map(str::to_owned).collect())
    }

    #[test]
    fn a_relay_a_secret_and_a_key_are_enough() {
        let variables =
            [("TURN_CRED_URIS", URI), ("TURN_CRED_SECRET", KEY), ("TURN_CRED_JWT_SECRET", KEY)];
        let config = read(variables).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8090");
        assert_eq!(config.rate_per_subject.to_string(), "30/m,burst=30");
        assert!(config.internal_listen.is_none());
    }

    #[test]
    fn everything_missing_is_reported_at_once() {
        let faults = read([]).unwrap_err().join("\n");
        for name in
            ["TURN_CRED_SECRET is needed", "TURN_CRED_URIS is needed", "TURN_CRED_JWT_SECRET"]
        {
            assert!(faults.contains(name), "{name} in {faults}");
        }
    }

    #[test]
    fn api_keys_alone_are_enough_and_short_ones_are_refused() {
        let with = |keys| {
            read([("TURN_CRED_URIS", URI), ("TURN_CRED_SECRET", KEY), ("TURN_CRED_API_KEYS", keys)])
        };
        let config = with(KEY).unwrap();
        assert!(config.api_keys.is_some() && !config.verifier.has_keys());
        let faults = with("short").unwrap_err();
        assert!(faults[0].contains("TURN_CRED_API_KEYS (environment) is not usable"), "{faults:?}");
    }

    #[test]
    fn an_internal_listener_on_tcp_needs_a_token_and_a_socket_file_none() {
        let with = |listen| {
            read([
                ("TURN_CRED_URIS", URI),
                ("TURN_CRED_SECRET", KEY),
                ("TURN_CRED_INTERNAL_LISTEN", listen),
            ])
        };
        assert!(with("unix:/run/x.sock").is_ok());
        let faults = with("127.0.0.1:0").unwrap_err();
        assert!(faults[0].contains("needs TURN_CRED_INTERNAL_TOKEN_FILE"), "{faults:?}");
    }

    #[test]
    fn a_socket_that_is_open_to_all_needs_a_token() {
        let with = |mode, token| {
            read([
                ("TURN_CRED_URIS", URI),
                ("TURN_CRED_SECRET", KEY),
                ("TURN_CRED_INTERNAL_LISTEN", "unix:/run/x.sock"),
                ("TURN_CRED_SOCKET_MODE", mode),
                ("TURN_CRED_INTERNAL_TOKEN", token),
            ])
        };
        assert!(with("660", KEY).is_ok() && with("666", KEY).is_ok());
        let without = read([
            ("TURN_CRED_URIS", URI),
            ("TURN_CRED_SECRET", KEY),
            ("TURN_CRED_INTERNAL_LISTEN", "unix:/run/x.sock"),
            ("TURN_CRED_SOCKET_MODE", "666"),
        ]);
        assert!(without.unwrap_err()[0].contains("every user of this machine"));
        assert!(with("9", KEY).is_err() && with("060", KEY).is_err());
    }

    #[test]
    fn values_that_contradict_each_other_are_faults() {
        let faults = read([
            ("TURN_CRED_URIS", "turn:a,https://b"),
            ("TURN_CRED_SECRET", "short"),
            ("TURN_CRED_JWT_SECRET", KEY),
            ("TURN_CRED_TTL", "2h"),
            ("TURN_CRED_MAX_TTL", "1h"),
            ("TURN_CRED_ALLOWED_ORIGINS", "https://a.example/"),
            ("TURN_CRED_TRUSTED_PROXIES", "10.0.0.0/99"),
        ])
        .unwrap_err()
        .join("\n");
        for part in [
            "key 1 has 5 bytes",
            "https://b\" begins with none of stun:",
            "TURN_CRED_MAX_TTL=\"1h\" (environment) is less than ttl",
            "\"https://a.example/\": write SCHEME://HOST",
            "\"10.0.0.0/99\"",
        ] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
    }
}
