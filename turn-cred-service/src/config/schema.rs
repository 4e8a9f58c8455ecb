//! Declares every setting of the service.

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

  # And to the signaling node beside it, over a socket file:
  turn-cred-service --internal-listen unix:/run/turn-cred.sock

  # See what is in force, and everything that is wrong with it:
  turn-cred-service check-config

  # Try the relay by hand:
  turn-cred-service mint --sub ana --ttl 60s

  # Try all relays, and whether they are open to what they should not be:
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
        Setting::secret(
            "pseudonym_key",
            "credentials",
            "KEYS",
            "Hides subjects from the relays' logs; without it a rotation renames everybody there",
        ),
        Setting::secret(
            "redis_url",
            "redis",
            "URL",
            "coturn's own Redis (redis-userdb); without a secret, the secrets there are used and rotated",
        ),
        Setting::plain(
            "realm",
            "redis",
            "REALM",
            Some("turn"),
            "The realm of the relays, whose secrets are in turn/realm/REALM/secret",
        ),
        Setting::plain(
            "rotate_every",
            "redis",
            "DURATION",
            None,
            "How long a secret in Redis signs; without it, until turn-cred-service rotate",
        ),
        Setting::plain(
            "clock_skew",
            "redis",
            "DURATION",
            Some("30s"),
            "How far the clocks of relays may differ: an old secret is accepted for that much longer",
        ),
        Setting::plain(
            "uris",
            "relays",
            "URLS",
            None,
            "One relay: up to four stun:, turn: and turns: URLs separated by commas; more than one \
             relay stand in the file, as [[pools]]",
        ),
        Setting::plain(
            "default_region",
            "relays",
            "REGION",
            None,
            "The region of callers who name none; the first of the file otherwise",
        ),
        Setting::plain(
            "region_header",
            "relays",
            "HEADER",
            None,
            "A header that says a region or a country, such as CF-IPCountry; believed of \
             trusted_proxies only",
        ),
        Setting::plain(
            "probe_every",
            "relays",
            "DURATION",
            Some("2s"),
            "How often every relay is tried; 0s: never, and all are believed in",
        ),
        Setting::plain(
            "relay_ca_file",
            "relays",
            "FILE",
            None,
            "PEM file of further certificate authorities for turns: relays",
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
            "What servers show that ask for others: Janus, or anything in Cloudflare's shape",
        ),
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
        Setting::plain(
            "budget_per_subject",
            "limits",
            "BYTES/TIME",
            None,
            "How much one subject may relay, such as 10GiB/24h; coturn reports it in its Redis \
             (redis-statsdb)",
        ),
        LOG,
        LOG_FORMAT,
    ],
    tables: &["pools"],
};
