//! One running node: its parts, and the order in which they start and stop.

use std::io;
use std::sync::Arc;

use service_kit::http::{
    ConnectionBounds, Health, ListenAddr, Listener, admin_router, descriptors, serve,
};
use service_kit::lifecycle::Lifecycle;
use service_kit::redis_access;
use signal_dialects::DialectName;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::backend::Starting;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::drain::Drain;
use crate::http::{
    Anonymous, ConnectionLimiter, ConnectionLimits, Console, Dialects, Public, UnverifiedLimiter,
    router,
};
use crate::liveness::Cluster;
use crate::log::{EventStore, LogError, Trouble};
use crate::metrics::Metrics;
use crate::revoked::RevokedTokens;
use crate::room::{RoomContext, RoomSettings, Rooms, TimedLog};
use crate::session::{Context, NodeEvents, SessionTimers, StartupToken};
use crate::timeline::Recorder;
use crate::webhooks::{Sender, SenderParts};

/// A node that serves.
pub struct Node {
    /// Where the public listener is bound.
    pub public: ListenAddr,
    /// Where the admin listener is bound.
    pub admin: ListenAddr,
    /// The token that anonymous clients show, if there are no keys.
    pub startup_token: Option<Arc<StartupToken>>,
    /// The dialects that are on.
    pub dialects: Dialects,
    tls: bool,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be bound.
    #[error(transparent)]
    Listen(#[from] io::Error),
    /// Redis rejects the node, or cannot hold rooms.
    #[error("cannot use Redis (SIGNAL_NODE_REDIS_URL): {0}{advice}", advice = advice(.0))]
    Log(#[from] LogError),
    /// The HTTP client for the credential service could not be made.
    #[error("cannot prepare requests to the credential service: {0}")]
    Credentials(#[from] reqwest::Error),
    /// The HTTP client of a webhook could not be made.
    #[error("cannot prepare requests to the endpoints of webhooks: {0}")]
    Webhooks(reqwest::Error),
}

/// What to do if Redis was reached and rejected the node.
fn advice(error: &LogError) -> String {
    redis_access::advice(&error.to_string())
        .map_or_else(String::new, |advice| format!(": {advice}"))
}

impl Node {
    /// Starts a node; it ends with `life`. While Redis cannot be reached, this waits for it: the probes answer, and clients
    /// are refused.
    ///
    /// # Errors
    /// [`StartError`] says what is missing.
    pub async fn start(mut config: Config, life: &Lifecycle) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new());
        let health = Health::new();
        let admin = Listener::bind(&config.admin_listen).await?;
        let admin_address = admin.address().clone();
        let console = Console::default();
        let probes = admin_router(metrics.registry.clone(), health.clone());
        let routes = probes.merge(console.routes());
        life.tasks.spawn(serve(admin, routes, life.hard.clone()));
        let listener = Listener::bind(&config.listen).await?.with_tls(config.tls.clone());
        let listener = listener.with_bounds(bounds(&config)).with_mode(config.socket_mode)?;
        let address = listener.address().clone();
        let starting = Starting { config: &config, metrics: &metrics, health: &health };
        let backend = starting.open_log(&listener).await?;
        tokio::spawn(report_trouble(backend.liveness.trouble(), health.clone()));
        let drain = Drain::new(&config, life, health.clone(), backend.heartbeater);
        let revoked = Arc::new(RevokedTokens::new(backend.revocations, metrics.clone()));
        let events = drain.events(backend.liveness.cut_off(), revoked.changes());
        let timelines =
            Recorder::start(backend.timelines, config.timeline_age, metrics.clone(), life);
        let room_context = RoomContext {
            log: TimedLog::new(backend.rooms, metrics.clone()),
            liveness: backend.liveness,
            settings: RoomSettings {
                node: config.sessions.node.clone(),
                grace: config.sessions.grace,
                retention: config.retention,
                send_rates: config.send_rates,
            },
            metrics,
            timelines: Arc::new(timelines),
        };
        let webhooks = sender_parts(&mut config, backend.events.as_ref(), &room_context);
        let cluster = Cluster {
            own: config.sessions.node.clone(),
            liveness: room_context.liveness.clone(),
            heartbeats: backend.heartbeats,
            metrics: room_context.metrics.clone(),
        };
        // Before the first token is looked at; who cannot read it now will know in a second.
        let _ = revoked.list().await;
        life.tasks.spawn(revoked.clone().follow(life.hard.clone()));
        let tls = config.tls.is_some();
        let public = public(config, room_context, (events, cluster, revoked, backend.events))?;
        if let Some(parts) = webhooks {
            Sender::start(parts, public.sessions.rooms.clone(), life)
                .map_err(StartError::Webhooks)?;
        }
        console.open(public.clone());
        let startup_token = public.sessions.startup_token.clone();
        let dialects = public.dialects.clone();
        tokio::spawn(public.sessions.verifier.clone().refresh(life.soft.clone()));
        tokio::spawn(follow_credentials(public.clone(), health.clone(), life.hard.clone()));
        life.tasks.spawn(serve(listener, router(public.clone()), drain.closed()));
        life.tasks.spawn(drain.run(public));
        health.ready();
        Ok(Self { public: address, admin: admin_address, startup_token, dialects, tls })
    }

    /// Returns the address of the page with the startup token, for a person to open. Below the address of whatever
    /// proxy stands in front of a socket file it is a path alone.
    #[must_use]
    pub fn page(&self) -> Option<String> {
        let token = self.startup_token.as_ref()?.reveal();
        let origin = self.origin(if self.tls { "https" } else { "http" });
        Some(format!("{origin}/?room=demo#token={token}"))
    }

    /// Returns the name of each dialect that is on, with the address for its clients.
    #[must_use]
    pub fn dialect_addresses(&self) -> Vec<(&'static str, String)> {
        let scheme = |name: DialectName| match (name, self.tls) {
            (DialectName::Topics | DialectName::Matchbox, true) => "wss",
            (DialectName::Topics | DialectName::Matchbox, false) => "ws",
            (DialectName::PeerJs | DialectName::SocketIo, true) => "https",
            (DialectName::PeerJs | DialectName::SocketIo, false) => "http",
        };
        let address = |name, path| match name {
            // A path in the address of Socket.IO is a namespace, and its own is an option of the client.
            DialectName::SocketIo => self.origin(scheme(name)),
            DialectName::Topics | DialectName::Matchbox | DialectName::PeerJs => {
                format!("{}{path}", self.origin(scheme(name)))
            }
        };
        let dialects = self.dialects.iter();
        dialects.map(|(name, path)| (name.as_str(), address(name, path))).collect()
    }

    fn origin(&self, scheme: &str) -> String {
        match &self.public {
            ListenAddr::Tcp(address) => format!("{scheme}://{address}"),
            ListenAddr::Unix(_) => String::new(),
        }
    }
}

/// Returns what sends webhooks, where endpoints are configured.
fn sender_parts(
    config: &mut Config,
    store: Option<&Arc<dyn EventStore>>,
    rooms: &RoomContext,
) -> Option<SenderParts> {
    let (endpoints, store) = config.webhooks.take().zip(store.cloned())?;
    let RoomContext { log, liveness, settings, metrics, .. } = rooms;
    Some(SenderParts {
        endpoints,
        store,
        log: log.clone(),
        liveness: liveness.clone(),
        settings: settings.clone(),
        lease: config.lease,
        metrics: metrics.clone(),
    })
}

fn public(
    config: Config,
    room_context: RoomContext,
    (events, cluster, revoked, queues): (
        NodeEvents,
        Cluster,
        Arc<RevokedTokens>,
        Option<Arc<dyn EventStore>>,
    ),
) -> Result<Arc<Public>, StartError> {
    if config.anonymous == Anonymous::Always {
        warn!("everybody may connect without a token (SIGNAL_NODE_ANONYMOUS=always)");
    }
    if config.anonymous == Anonymous::Never && !config.verifier.has_keys() {
        warn!("no key is configured to check tokens with: nobody can connect");
    }
    let needs_token = config.anonymous == Anonymous::WithStartupToken;
    let startup_token = needs_token.then(|| Arc::new(StartupToken::generate()));
    config.verifier.warn_of_any_audience();
    let metrics = room_context.metrics.clone();
    let credentials = config
        .credentials
        .map(|(url, token)| Credentials::new(&url, token, metrics.clone()))
        .transpose()?;
    let limits = ConnectionLimits {
        most: config.max_connections.unwrap_or_else(most_connections),
        most_per_address: config.max_connections_per_ip,
        rate: config.upgrades,
    };
    let connection_limiter = ConnectionLimiter::new(limits, Instant::now());
    let sessions = Context {
        settings: Arc::new(config.sessions),
        rooms: Rooms::new(room_context),
        verifier: Arc::new(config.verifier),
        startup_token,
        log_addresses: config.log_addresses,
        revoked,
        timers: SessionTimers::start(&events, credentials.as_ref().map(Credentials::news)),
        credentials,
        metrics,
        events,
    };
    Ok(Arc::new(Public {
        sessions,
        anonymous: config.anonymous,
        origins: config.origins,
        proxies: config.proxies,
        unverified_limiter: UnverifiedLimiter::new(config.upgrades_per_net),
        connection_limiter,
        cluster,
        dialects: config.dialects,
        events: queues,
        socketio_client: config.socketio_client,
    }))
}

/// Reports the node as not ready while no room of it is in touch with its log. New connections are for other nodes then;
/// those that it has stay, as an interruption may be short. While only a part of the log is away, it stays ready.
async fn report_trouble(mut trouble: watch::Receiver<Option<Trouble>>, health: Health) {
    loop {
        let reason = trouble
            .borrow_and_update()
            .as_ref()
            .filter(|trouble| trouble.cuts_off())
            .map(ToString::to_string);
        health.trouble(reason);
        if trouble.changed().await.is_err() {
            return;
        }
    }
}

/// Hears of changes at the credential service until the node ends, and tells at `/readyz` that it gives no good answer. The
/// node stays ready: calls without a relay are better than none.
async fn follow_credentials(public: Arc<Public>, health: Health, end: CancellationToken) {
    let Some(credentials) = &public.sessions.credentials else { return };
    let mut failure = credentials.failure();
    let report = async {
        while failure.changed().await.is_ok() {
            health.degraded(failure.borrow_and_update().clone());
        }
    };
    end.run_until_cancelled(async { tokio::join!(credentials.follow(), report) }).await;
}

/// Bounds the connections that speak HTTP, by far the most of which are about to be upgraded or refused.
fn bounds(config: &Config) -> ConnectionBounds {
    // Asks for all descriptors that it can get, which the bounds are a part of.
    let _ = most_connections();
    ConnectionBounds {
        most: descriptors() / 20,
        most_per_address: Some(config.max_connections_per_ip),
        proxies: config.proxies.trusted.clone(),
    }
}

/// Returns 90 % of the descriptors this process may have, after asking for all it can get.
fn most_connections() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    usize::try_from(limit / 10 * 9).unwrap_or(usize::MAX)
}
