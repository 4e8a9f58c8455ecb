//! One running node: what it is made of, and how it ends.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use service_kit::http::{Health, ListenAddr, Listener, admin_router, serve};
use service_kit::lifecycle::Lifecycle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Backend, Config};
use crate::credentials::Credentials;
use crate::http::{Anonymous, Public, Visitors, router};
use crate::log::memory::MemoryLog;
use crate::log::redis::RedisLog;
use crate::log::{LogError, RoomLog};
use crate::metrics::Metrics;
use crate::room::{RoomSettings, Rooms};
use crate::session::Context;

/// A node that serves.
pub struct Node {
    /// Where the public listener is bound.
    pub public: ListenAddr,
    /// Where the admin listener is bound.
    pub admin: ListenAddr,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be bound.
    #[error(transparent)]
    Listen(#[from] io::Error),
    /// Redis is not there.
    #[error("cannot reach Redis (SIGNAL_NODE_REDIS_URL): {0}")]
    Log(#[from] LogError),
    /// The HTTP client for the credential service could not be made.
    #[error("cannot prepare requests to the credential service: {0}")]
    Credentials(#[from] reqwest::Error),
}

impl Node {
    /// Starts a node; it ends with `life`.
    ///
    /// # Errors
    /// [`StartError`] says what is missing.
    pub async fn start(config: Config, life: &Lifecycle) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new());
        let health = Health::new();
        let admin = Listener::bind(&config.admin_listen).await?;
        let admin_address = admin.address().clone();
        let routes = admin_router(metrics.registry.clone(), health.clone());
        life.tasks.spawn(serve(admin, routes, life.hard.clone()));
        let listener = Listener::bind(&config.listen).await?;
        let address = listener.address().clone();
        let drain = Drain::new(&config, life, health.clone());
        let public = public(config, &address, metrics, drain.sessions.clone()).await?;
        tokio::spawn(public.sessions.verifier.clone().refresh(life.soft.clone()));
        life.tasks.spawn(serve(listener, router(public.clone()), drain.listener.clone()));
        life.tasks.spawn(drain.run(public));
        health.ready();
        Ok(Self { public: address, admin: admin_address })
    }
}

async fn public(
    config: Config,
    address: &ListenAddr,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<Arc<Public>, StartError> {
    let log = log(&config).await?;
    if config.anonymous == Anonymous::Always {
        warn!("everybody may connect without a token (SIGNAL_NODE_ANONYMOUS=always)");
    }
    if config.anonymous == Anonymous::Never && !config.verifier.has_keys() {
        warn!("no key is configured to check tokens with: nobody can connect");
    }
    let rooms = RoomSettings {
        node: config.sessions.node.clone(),
        grace: config.sessions.grace,
        retention: config.retention,
    };
    let credentials = config
        .credentials
        .map(|(url, token)| Credentials::new(&url, token, metrics.clone()))
        .transpose()?;
    let visitors = Visitors::new(
        config.max_connections.unwrap_or_else(most_connections),
        config.max_connections_per_ip,
    );
    let sessions = Context {
        settings: Arc::new(config.sessions),
        rooms: Rooms::new(log, rooms, metrics.clone()),
        verifier: Arc::new(config.verifier),
        credentials,
        metrics,
        stop,
    };
    Ok(Arc::new(Public {
        sessions,
        anonymous: config.anonymous,
        origins: config.origins,
        trusted_proxies: config.trusted_proxies,
        visitors,
        port: port(address),
    }))
}

async fn log(config: &Config) -> Result<Arc<dyn RoomLog>, StartError> {
    Ok(match &config.backend {
        Backend::Memory => Arc::new(MemoryLog::new(config.retention)),
        Backend::Redis { url, publishing } => {
            Arc::new(RedisLog::connect(url.expose(), *publishing, config.retention).await?)
        }
    })
}

fn port(address: &ListenAddr) -> Option<u16> {
    match address {
        ListenAddr::Tcp(address) => Some(SocketAddr::port(address)),
        ListenAddr::Unix(_) => None,
    }
}

/// Returns 90 % of the descriptors this process may have, after asking for all it can get.
fn most_connections() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    usize::try_from(limit / 10 * 9).unwrap_or(usize::MAX)
}

/// How a node ends: unready, then closed to newcomers, then without sessions.
struct Drain {
    life: Lifecycle,
    health: Health,
    delay: Duration,
    deadline: Duration,
    listener: CancellationToken,
    sessions: CancellationToken,
}

impl Drain {
    fn new(config: &Config, life: &Lifecycle, health: Health) -> Self {
        Self {
            life: life.clone(),
            health,
            delay: config.drain_delay,
            deadline: config.drain_deadline,
            listener: CancellationToken::new(),
            sessions: CancellationToken::new(),
        }
    }

    /// Waits to be asked, then leads the node to its end.
    async fn run(self, public: Arc<Public>) {
        self.life.soft.cancelled().await;
        self.health.not_ready("draining");
        info!("draining: not ready any more, still accepting for {:?}", self.delay);
        self.unless_hurried(tokio::time::sleep(self.delay)).await;
        public.visitors.drain();
        self.sessions.cancel();
        let rest = self.deadline.saturating_sub(self.delay);
        if self
            .unless_hurried(timeout(rest, emptied(&public)))
            .await
            .is_some_and(|in_time| in_time.is_err())
        {
            warn!("the drain deadline has passed; what is left is cut");
        }
        self.listener.cancel();
        self.life.hard.cancel();
    }

    /// Waits, but not past a second signal.
    async fn unless_hurried<T>(&self, waited: impl Future<Output = T>) -> Option<T> {
        self.life.hard.run_until_cancelled(waited).await
    }
}

/// Waits until every connection has ended and the log knows it.
async fn emptied(public: &Public) {
    public.visitors.gone().await;
    public.sessions.rooms.settled().await;
    info!("drained: every connection has ended");
}
