//! The settings of the service, declared and read.

use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use service_kit::http::ListenAddr;
use service_kit::secrets::SecretSource;
use service_kit::settings::{Faults, Rate, Reader, Resolved, Schema, Setting};
use service_kit::telemetry::{LOG, LOG_FORMAT, LogSettings};
use service_kit::tokens::{
    JWKS_FILE, JWKS_URL, JWT_AUDIENCE, JWT_ISSUER, JWT_SECRET, TokenSettings, Verifier,
};

use crate::issuer::{Issuer, Lifetimes};
use crate::pool::{Pool, PoolError};

/// The name of the pool that `TURN_CRED_URIS` makes.
pub const DEFAULT_REGION: &str = "default";

/// Every setting of the service.
pub const SCHEMA: Schema = Schema {
    program: "turn-cred-service",
    about: "Issues short-lived TURN credentials over REST, for relays that share a secret with it.",
    prefix: "TURN_CRED",
    examples: "\
Examples:
  # Serve credentials for one relay to holders of a token:
  export TURN_CRED_SECRET_FILE=/run/secrets/turn TURN_CRED_JWT_SECRET_FILE=/run/secrets/jwt
  turn-cred-service --uris 'turn:relay.example.org:3478?transport=udp'

  # And to the signaling node beside it, over a socket file:
  turn-cred-service --internal-listen unix:/run/turn-cred.sock

  # See what is in force, and everything that is wrong with it:
  turn-cred-service check-config

  # Try the relay by hand:
  turn-cred-service mint --sub ana --ttl 60s

Durations read 20s or 500ms, rates 30/m or 100/s,burst=2000. Flags win over variables, variables
over the TOML file. A secret file holds one key per line: the first signs, all verify, and the
file is read again when it changes.",
    settings: &[
        Setting::plain(
            "listen",
            "network",
            "ADDRESS",
            Some("127.0.0.1:8090"),
            "Public REST, token required",
        ),
        Setting::plain(
            "internal_listen",
            "network",
            "ADDRESS",
            None,
            "REST for the node beside it, off by default: unix:PATH, or ADDRESS:PORT with a token",
        ),
        Setting::secret(
            "internal_token",
            "network",
            "TOKENS",
            "What callers of the internal listener present as bearer token; needed over TCP",
        ),
        Setting::plain(
            "admin_listen",
            "network",
            "ADDRESS",
            Some("127.0.0.1:9091"),
            "/livez, /readyz and /metrics",
        ),
        Setting::plain(
            "allowed_origins",
            "network",
            "ORIGINS",
            None,
            "Origins that may call from a browser, exact, separated by commas; * for any",
        ),
        Setting::plain(
            "trusted_proxies",
            "network",
            "NETWORKS",
            None,
            "Networks whose X-Forwarded-For is believed, such as 10.0.0.0/8",
        ),
        Setting::plain(
            "uris",
            "credentials",
            "URLS",
            None,
            "The relays: up to four stun:, turn: and turns: URLs separated by commas",
        ),
        Setting::secret(
            "secret",
            "credentials",
            "KEYS",
            "Shared with the relays (static-auth-secret of coturn), 32 bytes or more",
        ),
        Setting::plain(
            "ttl",
            "credentials",
            "DURATION",
            Some("600s"),
            "How long a credential admits to a relay",
        ),
        Setting::plain(
            "max_ttl",
            "credentials",
            "DURATION",
            Some("24h"),
            "The most a caller may ask for",
        ),
        JWT_SECRET,
        JWKS_URL,
        JWKS_FILE,
        JWT_ISSUER,
        JWT_AUDIENCE,
        Setting::plain(
            "rate_per_subject",
            "limits",
            "RATE",
            Some("30/m"),
            "Requests of one token's subject",
        ),
        Setting::plain(
            "rate_per_ip",
            "limits",
            "RATE",
            Some("60/m"),
            "Requests of one address, IPv6 by /64",
        ),
        LOG,
        LOG_FORMAT,
    ],
};

/// The settings, read and checked against each other.
#[derive(Debug)]
pub struct Config {
    /// Where the public listener binds.
    pub listen: ListenAddr,
    /// Where the internal listener binds, if it is on.
    pub internal_listen: Option<ListenAddr>,
    /// What callers of the internal listener must present, if anything.
    pub internal_token: Option<SecretSource>,
    /// Where the admin listener binds.
    pub admin_listen: ListenAddr,
    /// The origins that may call from a browser.
    pub allowed_origins: Vec<Origin>,
    /// The networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Issues what is asked for.
    pub issuer: Issuer,
    /// Verifies the tokens of the public listener.
    pub verifier: Verifier,
    /// Requests of one subject.
    pub rate_per_subject: Rate,
    /// Requests of one address.
    pub rate_per_ip: Rate,
    /// How and what is logged.
    pub logging: LogSettings,
}

impl Config {
    /// Reads all settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    ///
    /// # Panics
    /// Never: what is absent has been reported as a fault before.
    pub fn read(resolved: &Resolved) -> Result<Self, Faults> {
        let mut reader = resolved.reader();
        let listen = reader.parse("listen");
        let internal_listen = reader.optional_parse("internal_listen");
        let internal_token = reader.secrets("internal_token");
        let admin_listen = reader.parse("admin_listen");
        let allowed_origins = reader.parse_list("allowed_origins");
        let trusted_proxies = reader.parse_list("trusted_proxies");
        let (rate_per_subject, rate_per_ip) =
            (reader.rate("rate_per_subject"), reader.rate("rate_per_ip"));
        let logging = LogSettings::read(&mut reader);
        let issuer = read_issuer(&mut reader);
        let verifier = TokenSettings::read(&mut reader).verifier(&mut reader);
        let is_tcp = matches!(internal_listen, Some(ListenAddr::Tcp(_)));
        if is_tcp && !reader.is_set("internal_token") {
            let token = "TURN_CRED_INTERNAL_TOKEN_FILE";
            reader.fault("internal_listen", format_args!("is TCP and needs {token}"));
        }
        let has_keys =
            [&JWT_SECRET, &JWKS_URL, &JWKS_FILE].iter().any(|key| reader.is_set(key.name));
        if internal_listen.is_none() && !has_keys {
            let others = "nor TURN_CRED_JWKS_URL, TURN_CRED_JWKS_FILE or TURN_CRED_INTERNAL_LISTEN";
            reader.fault("jwt_secret", format_args!("is not set, {others}: nobody could call"));
        }
        reader.finish()?;
        Ok(Self {
            listen,
            internal_listen,
            internal_token,
            admin_listen,
            allowed_origins,
            trusted_proxies,
            issuer: issuer.expect("its absence is a fault"),
            verifier: verifier.expect("its absence is a fault"),
            rate_per_subject,
            rate_per_ip,
            logging,
        })
    }
}

fn read_issuer(reader: &mut Reader<'_>) -> Option<Issuer> {
    let lifetimes = read_lifetimes(reader);
    let secret = read_secret(reader);
    if !reader.is_set("uris") {
        reader.fault("uris", "is needed: the relays, such as turn:HOST:3478?transport=udp");
    }
    let pool = read_pool(reader);
    Some(Issuer::new(secret?, pool?, lifetimes))
}

/// Reads the pool, if it is set.
pub fn read_pool(reader: &mut Reader<'_>) -> Option<Pool> {
    reader.optional_parse::<DefaultPool>("uris").map(|DefaultPool(pool)| pool)
}

/// The pool on one line.
struct DefaultPool(Pool);

impl FromStr for DefaultPool {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Self, PoolError> {
        Pool::parse(DEFAULT_REGION, text).map(Self)
    }
}

/// Reads the secret shared with the relays and reports its absence.
///
/// Returns nothing when there was a fault.
pub fn read_secret(reader: &mut Reader<'_>) -> Option<SecretSource> {
    if !reader.is_set("secret") {
        reader.fault("secret", "is needed: the secret shared with the relays, or its …_FILE");
    }
    reader.secrets("secret")
}

/// Reads and compares `ttl` and `max_ttl`.
pub fn read_lifetimes(reader: &mut Reader<'_>) -> Lifetimes {
    let default = reader.duration("ttl");
    let max = reader.duration("max_ttl");
    if default < Duration::from_secs(1) {
        reader.fault("ttl", "is less than 1s");
    }
    if max < default {
        reader.fault("max_ttl", "is less than ttl");
    }
    Lifetimes { default, max: max.max(default) }
}

/// An origin as browsers send it (RFC 6454 §6.2), or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The origin as a browser writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether it stands for all origins.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HOW: &str =
            "write SCHEME://HOST or SCHEME://HOST:PORT in lower case, nothing after it";
        let host = text.split_once("://").map(|(_, host)| host);
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.:[]/".contains(&b);
        let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
            && text.bytes().all(allowed);
        if text == "*" || is_origin { Ok(Self(text.to_owned())) } else { Err(HOW) }
    }
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

    #[test]
    fn an_origin_has_no_path_and_no_upper_case() {
        for text in ["https://a.example", "http://127.0.0.1:8080", "http://[::1]:80", "*"] {
            assert!(text.parse::<Origin>().is_ok(), "{text}");
        }
        for text in
            ["", "a.example", "https://", "https://a.example/x", "https://A.example", "null"]
        {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
