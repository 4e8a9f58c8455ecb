//! The settings of the node, declared and read.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use service_kit::http::{
    ListenAddr, Proxies, SOCKET_MODE, SocketMode, TLS_CERT_FILE, TLS_KEY_FILE, Tls,
};
use service_kit::logged_address::AddressDetail;
use service_kit::redis_access::{self, RedisAccess};
use service_kit::secrets::SecretSource;
use service_kit::settings::{Faults, Rate, Reader, Resolved, Schema, Setting};
use service_kit::telemetry::{LOG, LOG_FORMAT, LogSettings};
use service_kit::tokens::{
    JWKS_FILE, JWKS_URL, JWT_AUDIENCE, JWT_ISSUER, JWT_SECRET, TokenSettings, Verifier,
};
use signal_protocol::{NodeId, limits};

use crate::credentials::CredentialsUrl;
use crate::http::{AllowedOrigins, Anonymous, Dialects, read_dialects};
use crate::log::Retention;
use crate::log::redis::{Publishing, RedisPrefix};
use crate::send_budget::SendRates;
use crate::session::SessionSettings;
use crate::setting_conflicts;
use crate::webhooks::WebhookSettings;

/// Every setting of the node.
pub const SCHEMA: Schema = Schema {
    program: "signal-node",
    about: "Carries WebRTC signaling between the members of rooms, over WebSockets.",
    prefix: "SIGNAL_NODE",
    examples: "\
Examples:
  # Alone on this machine, rooms in memory, no token needed; open http://127.0.0.1:8080
  signal-node

  # One of many: rooms in Redis, tokens checked, TURN credentials from the sidecar
  export SIGNAL_NODE_JWT_SECRET_FILE=/run/secrets/jwt
  signal-node --backend redis --redis-url-file /run/secrets/redis-url \\
    --listen 0.0.0.0:8080 --credentials-url unix:/run/turn-cred.sock

  # See what is in force, and everything that is wrong with it
  signal-node check-config

  # A token to try it with
  signal-node token mint --sub ana --room demo

Durations read 20s or 500ms, sizes 64KiB, rates 100/s,burst=2000. Flags win over variables,
variables over the TOML file. A secret file holds one key per line: the first signs, all verify,
and the file is read again when it changes.",
    settings: SETTINGS,
    tables: &[],
};

#[rustfmt::skip]
const SETTINGS: &[Setting] = &[
    Setting::plain("listen", "network", "ADDRESS", Some("127.0.0.1:8080"), "WebSocket and demo page; port 0 takes a free one"),
    Setting::plain("admin_listen", "network", "ADDRESS", Some("127.0.0.1:9080"), "/livez, /readyz, /startupz, /metrics and /console"),
    Setting::plain("allowed_origins", "network", "ORIGINS", None, "Pages that may connect besides those from this very host and port: exact origins separated by commas, or *; with the word no-same-origin only those listed"),
    Setting::plain("dialects", "network", "DIALECTS", None, "Protocols of other clients that may connect unchanged: topics (y-webrtc and trystero, at /topics), peerjs (at /peerjs), matchbox (at /matchbox/ROOM) and socketio (at /socket.io/), separated by commas; NAME=/PATH for another path, of peerjs the one that its clients are given"),
    Setting::plain("socketio_client", "network", "FILE", None, "The script of the client of Socket.IO, which pages load from /socket.io/socket.io.js and socket.io.min.js; without it there is none"),
    SOCKET_MODE,
    TLS_CERT_FILE,
    TLS_KEY_FILE,
    Setting::plain("trusted_proxies", "network", "NETWORKS", None, "Networks whose X-Forwarded-For is believed, such as 10.0.0.0/8"),
    Setting::plain("region_header", "network", "HEADER", None, "A header that says a region or a country, such as CF-IPCountry; believed of trusted_proxies only"),
    Setting::plain("backend", "rooms", "BACKEND", Some("memory"), "memory: rooms of this process; redis: rooms of all nodes"),
    Setting::secret("redis_url", "redis", "URL", "redis[s]://, redis[s]-cluster:// or redis[s]-sentinel://; further hosts as ?node=HOST:PORT"),
    redis_access::USERNAME,
    redis_access::PASSWORD,
    redis_access::CA_FILE,
    redis_access::CERT_FILE,
    redis_access::KEY_FILE,
    redis_access::SENTINEL_NAME,
    redis_access::SENTINEL_USERNAME,
    redis_access::SENTINEL_PASSWORD,
    Setting::plain("redis_publishing", "redis", "KIND", Some("sharded"), "sharded: SPUBLISH, which stays within a shard; plain: PUBLISH, where a proxy in between knows no other; Redis 7 both"),
    Setting::plain("redis_prefix", "redis", "TEXT", Some(""), "Stands before every key and channel, such as production:, where several deployments share a Redis"),
    Setting::plain("grace", "rooms", "DURATION", Some("30s"), "How long a lost socket may come back as the same member"),
    Setting::plain("lease", "rooms", "DURATION", Some("6s"), "How long a node may be silent before its members count as away"),
    Setting::plain("room_capacity", "rooms", "COUNT", Some("64"), "Members of a room, 1 to 1000; the cap of a token bounds its own join only"),
    Setting::plain("members_per_sub", "rooms", "COUNT", Some("4"), "Members of one subject in a room"),
    Setting::plain("log_age", "rooms", "DURATION", Some("120s"), "How old an entry of a room's log may become"),
    Setting::plain("log_length", "rooms", "COUNT", Some("16384"), "How many entries a room's log keeps"),
    Setting::plain("log_bytes", "rooms", "SIZE", Some("16MiB"), "How large a room's log may become"),
    Setting::plain("timeline_age", "rooms", "DURATION", Some("24h"), "How long the history of a room and what clients report of their calls are kept; 0s keeps none and takes no reports"),
    Setting::secret("webhook_urls", "webhooks", "URLS", "Where back ends are told of rooms and calls: one https:// URL per line, with whsec_ secrets of its own behind it if it has some; none: nothing is told, or stored for it"),
    Setting::secret("webhook_secret", "webhooks", "SECRETS", "What signs webhooks: whsec_ and 24 to 512 random bytes as base64, one per line; each of them signs"),
    Setting::plain("webhook_events", "webhooks", "TYPES", None, "The events that are sent, separated by commas, such as call.missed,room.ended; by default all"),
    Setting::plain("webhook_networks", "webhooks", "NETWORKS", None, "Networks besides the public internet that endpoints may be in, such as 10.0.0.0/8; http:// is for these only"),
    Setting::plain("webhook_timeout", "webhooks", "DURATION", Some("10s"), "How long an endpoint may take to answer; longer is a failed attempt"),
    Setting::plain("webhook_backoff", "webhooks", "DURATION", Some("1s"), "The pause after a failed attempt; each further one is twice as long, up to 15m"),
    Setting::plain("webhook_give_up", "webhooks", "DURATION", Some("24h"), "How old an event becomes before a failed attempt is its last one and it is kept as a dead letter"),
    JWT_SECRET,
    JWKS_URL,
    JWKS_FILE,
    JWT_ISSUER,
    JWT_AUDIENCE,
    Setting::plain("anonymous", "tokens", "WHO", Some("auto"), "Who may come without a token: never, always, or auto (with no keys and rooms in memory: whoever opens the address that the node prints)"),
    Setting::plain("credentials_url", "ice", "URL", None, "The credential service beside this node: unix:PATH or http://HOST:PORT"),
    Setting::secret("credentials_token", "ice", "TOKENS", "What is shown to the credential service over http"),
    Setting::plain("ping", "limits", "DURATION", Some("10s"), "How often a WebSocket ping is sent; silence of 2.5 of them ends a connection"),
    Setting::plain("max_message", "limits", "SIZE", Some("64KiB"), "The largest client frame; a larger one is closed 1009"),
    Setting::plain("outbox_bytes", "limits", "SIZE", Some("1MiB"), "Unsent bytes per connection; more is closed 4002"),
    Setting::plain("rate", "limits", "RATE", Some("100/s,burst=2000"), "Messages per connection"),
    Setting::plain("fanout", "limits", "RATE", Some("8MiB/s,burst=64MiB"), "Bytes that one subject, or anonymous connection, may have sent: what it says, times those who get it; joins and rosters too"),
    Setting::plain("send_rate", "limits", "RATE", Some("1MiB/s,burst=512KiB"), "Bytes that one subject, or anonymous connection, may say to any one member, addressed or to all"),
    Setting::plain("max_connections", "limits", "COUNT", None, "Connections of this node, by default 90 % of the descriptor limit; more get 503"),
    Setting::plain("max_connections_per_ip", "limits", "COUNT", Some("200"), "Connections of one address, IPv6 by /64; more get 429"),
    Setting::plain("upgrades", "limits", "RATE", Some("1000/s,burst=20000"), "New connections of this node; more get 503 and come back a little later"),
    Setting::plain("upgrades_per_net", "limits", "RATE", Some("20/s,burst=400"), "Upgrades without a valid token from one network, IPv4 by /24 and IPv6 by /64; more get 429"),
    Setting::plain("rooms_per_connection", "limits", "COUNT", Some("8"), "Rooms on one connection"),
    Setting::plain("rooms_per_client", "limits", "COUNT", Some("200"), "Rooms of one subject, or of the anonymous connections of one address, over all connections; one that was left counts until its log is forgotten"),
    Setting::plain("watches_per_connection", "limits", "COUNT", Some("1000"), "Users that one connection watches; each costs memory of the node and, the first one of a user on a node, a subscription in Redis"),
    Setting::plain("drain_delay", "life", "DURATION", Some("5s"), "After SIGTERM: still accepting, while load balancers notice"),
    Setting::plain("drain_deadline", "life", "DURATION", Some("25s"), "After SIGTERM: until exit, the delay included"),
    LOG,
    LOG_FORMAT,
    Setting::plain("log_addresses", "logging", "DETAIL", Some("network"), "What the log says of a client's address: full, network (its /24 or /48) or none"),
];

/// Where rooms are kept.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug)]
pub enum Backend {
    Memory,
    Redis {
        /// How it is reached.
        access: Box<RedisAccess>,
        /// How entries are published.
        publishing: Publishing,
        /// What stands before every key and channel.
        prefix: RedisPrefix,
    },
}

/// The settings, read and checked against each other.
#[expect(missing_docs, reason = "the names say it all")]
pub struct Config {
    /// Where the public listener binds.
    pub listen: ListenAddr,
    /// The mode of its socket file, if it is one.
    pub socket_mode: SocketMode,
    /// The certificate of the public listener, if it speaks TLS.
    pub tls: Option<Tls>,
    /// Where the admin listener binds.
    pub admin_listen: ListenAddr,
    /// Which pages may connect.
    pub origins: AllowedOrigins,
    /// The dialects that are on.
    pub dialects: Dialects,
    /// The script of the client of Socket.IO.
    pub socketio_client: Option<Bytes>,
    /// The proxies whose headers about a client are believed.
    pub proxies: Proxies,
    /// Where rooms are kept.
    pub backend: Backend,
    /// What a room's log keeps.
    pub retention: Retention,
    /// How long timelines are kept; 0: none is.
    pub timeline_age: Duration,
    /// Where and how back ends are told of events, if they are.
    pub webhooks: Option<WebhookSettings>,
    /// How long a node may be silent.
    pub lease: Duration,
    pub verifier: Verifier,
    /// Who may come in without one.
    pub anonymous: Anonymous,
    /// Where ICE servers come from.
    pub credentials: Option<(CredentialsUrl, Option<SecretSource>)>,
    /// What holds for every session.
    pub sessions: SessionSettings,
    /// Bytes that one sender may have sent.
    pub send_rates: SendRates,
    /// Connections in all; `None`: 90 % of the descriptor limit.
    pub max_connections: Option<usize>,
    /// Connections of one address.
    pub max_connections_per_ip: usize,
    /// New connections in a time.
    pub upgrades: Rate,
    /// Upgrades without a valid token, of one network.
    pub upgrades_per_net: Rate,
    /// After SIGTERM: still accepting.
    pub drain_delay: Duration,
    /// After SIGTERM: until exit.
    pub drain_deadline: Duration,
    /// How and what is logged.
    pub logging: LogSettings,
    /// How much of a client's address is logged.
    pub log_addresses: AddressDetail,
}

impl Config {
    /// Reads all settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(resolved: &Resolved) -> Result<Self, Faults> {
        let mut reader = resolved.reader();
        let r = &mut reader;
        let sessions = read_sessions(r);
        let lease = read_lease(r);
        let retention = read_retention(r, &sessions, lease);
        let timeline_age = r.duration("timeline_age");
        let webhooks = WebhookSettings::read(r);
        let backend = read_backend(r);
        let listen: ListenAddr = r.parse("listen");
        let socket_mode = r.parse(SOCKET_MODE.name);
        let verifier = TokenSettings::read(r).verifier(r);
        let keys = verifier.as_ref().is_some_and(Verifier::has_keys);
        let anonymous = read_anonymous(r, keys, backend.as_ref(), &listen);
        let admin_listen = r.parse("admin_listen");
        let tls = Tls::read(r);
        let origins = read_origins(r);
        let (dialects, socketio_client) = read_dialects(r);
        let proxies = Proxies::read(r);
        let credentials = read_credentials(r);
        let send_rates =
            SendRates { fanout: r.byte_rate("fanout"), receiver: r.byte_rate("send_rate") };
        setting_conflicts::check(r, &sessions);
        let max_connections = r.optional_parse("max_connections");
        let max_connections_per_ip = r.parse("max_connections_per_ip");
        let (upgrades, upgrades_per_net) = (r.rate("upgrades"), r.rate("upgrades_per_net"));
        let (drain_delay, drain_deadline) = read_drain(r);
        let logging = LogSettings::read(r);
        let log_addresses = r.parse("log_addresses");
        reader.finish()?;
        Ok(Self {
            listen,
            socket_mode,
            tls,
            admin_listen,
            origins,
            dialects,
            socketio_client,
            proxies,
            backend: backend.expect("its absence is a fault"),
            retention,
            timeline_age,
            webhooks,
            lease,
            verifier: verifier.expect("its absence is a fault"),
            anonymous,
            credentials,
            sessions,
            send_rates,
            max_connections,
            max_connections_per_ip,
            upgrades,
            upgrades_per_net,
            drain_delay,
            drain_deadline,
            logging,
            log_addresses,
        })
    }
}

fn read_sessions(r: &mut Reader<'_>) -> SessionSettings {
    let sessions = SessionSettings {
        relays: r.is_set("credentials_url"),
        reports: !r.duration("timeline_age").is_zero(),
        node: new_node_id(),
        ping: r.duration("ping"),
        grace: r.duration("grace"),
        rate: r.rate("rate"),
        max_message: r.size("max_message"),
        rooms_per_connection: r.parse("rooms_per_connection"),
        rooms_per_client: r.parse("rooms_per_client"),
        watches_per_connection: r.parse("watches_per_connection"),
        room_capacity: r.parse("room_capacity"),
        members_per_sub: r.parse("members_per_sub"),
        outbox_bytes: r.size("outbox_bytes"),
    };
    if !(1..=limits::ROOM_CAPACITY).contains(&sessions.room_capacity) {
        let most = limits::ROOM_CAPACITY;
        r.fault("room_capacity", format!("is out of bounds: write 1 to {most}"));
    }
    if sessions.ping < Duration::from_secs(1) {
        r.fault("ping", "is too short: clients count whole seconds, write 1s or more");
    }
    sessions
}

fn new_node_id() -> NodeId {
    let id = format!("n_{:012x}", u64::from_le_bytes(service_kit::random::bytes()) >> 16);
    id.parse().expect("hexadecimal digits are of the alphabet")
}

fn read_lease(r: &mut Reader<'_>) -> Duration {
    let lease = r.duration("lease");
    if lease < Duration::from_secs(1) {
        r.fault(
            "lease",
            "is too short: a busy node would be taken for a dead one, write 1s or more",
        );
    }
    lease.max(Duration::from_secs(1))
}

fn read_retention(r: &mut Reader<'_>, sessions: &SessionSettings, lease: Duration) -> Retention {
    let age = r.duration("log_age");
    let longest_absence = sessions.ping * 5 / 2 + sessions.grace;
    if age <= longest_absence {
        let what = format!(
            "is too short for a replay: it must be above 2.5 × ping + grace, {longest_absence:?}"
        );
        r.fault("log_age", what);
    }
    Retention {
        age,
        length: r.parse("log_length"),
        bytes: r.size("log_bytes"),
        // Twice what the slowest member may take to come back, and a minute for slow clocks.
        room: (lease + sessions.grace) * 2 + Duration::from_secs(60),
    }
}

fn read_backend(r: &mut Reader<'_>) -> Option<Backend> {
    let (publishing, prefix) = (r.parse("redis_publishing"), r.parse("redis_prefix"));
    let access = RedisAccess::read(r).map(Box::new);
    match r.text("backend").as_str() {
        "memory" => Some(Backend::Memory),
        "redis" => {
            if !r.is_set("redis_url") {
                r.fault("redis_url", "is needed where backend is redis: write redis://HOST:6379");
            }
            access.map(|access| Backend::Redis { access, publishing, prefix })
        }
        _ => {
            r.fault("backend", "is not a backend: write memory or redis");
            None
        }
    }
}

fn read_anonymous(
    r: &mut Reader<'_>,
    keys: bool,
    backend: Option<&Backend>,
    listen: &ListenAddr,
) -> Anonymous {
    let word = r.text("anonymous");
    let local = matches!(listen, ListenAddr::Unix(_))
        || matches!(listen, ListenAddr::Tcp(address) if is_loopback(address.ip()));
    if !keys && !local && word != "always" {
        r.fault(
            "listen",
            "is open to other machines, and no key is configured to check tokens with: set \
             SIGNAL_NODE_JWT_SECRET_FILE or SIGNAL_NODE_JWKS_URL, or spell SIGNAL_NODE_ANONYMOUS=always",
        );
    }
    match word.as_str() {
        "always" => Anonymous::Always,
        "auto" if !keys && matches!(backend, Some(Backend::Memory)) => Anonymous::WithStartupToken,
        "auto" | "never" => Anonymous::Never,
        _ => {
            r.fault("anonymous", "is not one of never, auto and always");
            Anonymous::Never
        }
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn read_origins(r: &mut Reader<'_>) -> AllowedOrigins {
    let words = r.list("allowed_origins");
    AllowedOrigins::parse(&words).unwrap_or_else(|what| {
        r.fault("allowed_origins", what);
        AllowedOrigins::Same
    })
}

/// Reads the way to the credential service.
pub(crate) fn read_credentials(
    r: &mut Reader<'_>,
) -> Option<(CredentialsUrl, Option<SecretSource>)> {
    let token = r.secrets("credentials_token");
    let url = r.optional_parse("credentials_url")?;
    if matches!(url, CredentialsUrl::Http(_)) && token.is_none() {
        r.fault("credentials_token", "is needed where credentials_url is http://");
    }
    Some((url, token))
}

fn read_drain(r: &mut Reader<'_>) -> (Duration, Duration) {
    let (delay, deadline) = (r.duration("drain_delay"), r.duration("drain_deadline"));
    if delay >= deadline {
        r.fault("drain_deadline", "must be longer than drain_delay");
    }
    (delay, deadline)
}
