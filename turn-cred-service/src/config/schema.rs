//! Declares every setting of the service.

use service_kit::http::SOCKET_MODE;
use service_kit::redis_access;
use service_kit::settings::{Schema, Setting};
use service_kit::telemetry::{LOG, LOG_FORMAT};
use service_kit::tokens::{JWKS_FILE, JWKS_URL, JWT_AUDIENCE, JWT_ISSUER, JWT_SECRET};

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

  # Also serve the signaling node on this machine, over a socket file:
  turn-cred-service --internal-listen unix:/run/turn-cred.sock

  # Print the effective settings and all their faults:
  turn-cred-service check-config

  # Get a credential for testing a relay by hand:
  turn-cred-service mint --sub ana --ttl 60s

  # Check all relays, and what they must not permit:
  turn-cred-service doctor

Durations read 20s or 500ms, rates 30/m or 100/s,burst=2000. Flags win over variables, variables
over the TOML file. A secret file holds one key per line: the first signs, all verify, and the
file is read again when it changes.",
    settings: &[
        Setting::plain(
            "listen",
            "network",
            "ADDRESS",
            Some("127.0.0.1:8090"),
            "Address of the public REST API; callers need a token",
        ),
        Setting::plain(
            "internal_listen",
            "network",
            "ADDRESS",
            None,
            "Address of the internal REST API for nodes, off by default: unix:PATH, or \
             ADDRESS:PORT with a token",
        ),
        Setting::secret(
            "internal_token",
            "network",
            "TOKENS",
            "Bearer tokens accepted on the internal listener; required over TCP",
        ),
        Setting::plain(
            "admin_listen",
            "network",
            "ADDRESS",
            Some("127.0.0.1:9091"),
            "/livez, /readyz and /metrics",
        ),
        SOCKET_MODE,
        Setting::plain(
            "allowed_origins",
            "network",
            "ORIGINS",
            None,
            "Origins allowed to call from a browser (CORS), exact, separated by commas; * for any",
        ),
        Setting::plain(
            "trusted_proxies",
            "network",
            "NETWORKS",
            None,
            "Networks whose X-Forwarded-For is trusted, such as 10.0.0.0/8",
        ),
        Setting::secret(
            "secret",
            "credentials",
            "KEYS",
            "Secret shared with the relays (static-auth-secret of coturn), 32 bytes or more",
        ),
        Setting::plain(
            "ttl",
            "credentials",
            "DURATION",
            Some("600s"),
            "TTL of a credential, unless the caller requests another",
        ),
        Setting::plain(
            "max_ttl",
            "credentials",
            "DURATION",
            None,
            "Longest TTL that a caller may request; by default ttl. No credential outlives the token it is issued for",
        ),
        Setting::secret(
            "pseudonym_key",
            "credentials",
            "KEYS",
            "Key of the pseudonyms that relays see; without it each rotation gives users new \
             pseudonyms",
        ),
        Setting::secret(
            "redis_url",
            "redis",
            "URL",
            "coturn's Redis (redis-userdb); if secret is not set, the secrets there are used and \
             rotated",
        ),
        redis_access::USERNAME,
        redis_access::PASSWORD,
        redis_access::CA_FILE,
        redis_access::CERT_FILE,
        redis_access::KEY_FILE,
        redis_access::SENTINEL_NAME,
        redis_access::SENTINEL_USERNAME,
        redis_access::SENTINEL_PASSWORD,
        Setting::plain(
            "realm",
            "redis",
            "REALM",
            Some("turn"),
            "Realm of the relays; their secrets are in turn/realm/REALM/secret",
        ),
        Setting::plain(
            "rotate_every",
            "redis",
            "DURATION",
            None,
            "How long a secret in Redis signs before its rotation; without it, rotate with \
             turn-cred-service rotate",
        ),
        Setting::plain(
            "clock_skew",
            "redis",
            "DURATION",
            Some("30s"),
            "Largest difference between clocks of relays: an old secret is accepted for that much \
             longer",
        ),
        Setting::secret(
            "rooms_redis_url",
            "redis",
            "URL",
            "Redis of the nodes, whose revocations are obeyed within two seconds; by default redis_url",
        ),
        Setting::plain(
            "rooms_redis_prefix",
            "redis",
            "TEXT",
            Some(""),
            "Prefix of the nodes' keys there, as in SIGNAL_NODE_REDIS_PREFIX",
        ),
        Setting::plain(
            "uris",
            "relays",
            "URLS",
            None,
            "One relay: up to four stun:, turn: and turns: URLs separated by commas; for more \
             relays, use [[pools]] in the file",
        ),
        Setting::plain(
            "default_region",
            "relays",
            "REGION",
            None,
            "Region of callers who request none; by default the first in the file",
        ),
        Setting::plain(
            "region_header",
            "relays",
            "HEADER",
            None,
            "Header with a region or country, such as CF-IPCountry; trusted from trusted_proxies \
             only",
        ),
        Setting::plain(
            "probe_every",
            "relays",
            "DURATION",
            Some("2s"),
            "How often every relay is probed; 0s disables probes and treats all relays as healthy",
        ),
        Setting::plain(
            "relay_ca_file",
            "relays",
            "FILE",
            None,
            "PEM file of additional certificate authorities for turns: relays",
        ),
        JWT_SECRET,
        JWKS_URL,
        JWKS_FILE,
        JWT_ISSUER,
        JWT_AUDIENCE,
        Setting::secret(
            "api_keys",
            "tokens",
            "KEYS",
            "API keys of servers that request credentials for their users, such as Janus",
        ),
        Setting::plain(
            "rate_per_subject",
            "limits",
            "RATE",
            Some("30/m"),
            "Requests per subject of a token",
        ),
        Setting::plain(
            "rate_per_ip",
            "limits",
            "RATE",
            Some("60/m"),
            "Requests per address; IPv6 counts by /64",
        ),
        Setting::plain(
            "budget_per_subject",
            "limits",
            "BYTES/TIME",
            None,
            "Bytes that one subject may relay, such as 10GiB/24h; needs usage reports in Redis \
             (redis-statsdb)",
        ),
        LOG,
        LOG_FORMAT,
    ],
    tables: &["pools"],
};
