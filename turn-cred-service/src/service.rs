//! Wires the listeners and background tasks together; all of them end with one [`Lifecycle`].

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use service_kit::clock;
use service_kit::http::Router;
use service_kit::http::{
    ConnectionBounds, Health, ListenAddr, Listener, admin_router, serve, serve_while,
};
use service_kit::lifecycle::Lifecycle;
use service_kit::rate::Limiter;
use service_kit::redis_access::{self, RedisAccess};
use tracing::{debug, info, warn};

use crate::config::{Config, PROBE_TIMEOUT};
use crate::health::RelayMonitor;
use crate::http::{InternalState, PublicState, internal_router, public_router, starting_router};
use crate::issuer::Issuer;
use crate::key_store::KeyStore;
use crate::metrics::Metrics;
use crate::relay_db::{DbError, RelayDb};
use crate::revoked_tokens::RevokedTokens;
use crate::rotation::SecretRotator;
use crate::rotation::rotator::RotationContext;
use crate::usage::{RoomRecorder, UsageCounter, UsageDb};

/// Connections of one address to the public listener at once. Each is idle for five seconds at most.
const PER_ADDRESS: usize = 200;

/// Pause before a Redis of the nodes that did not answer is tried again.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Interval at which operator decisions are read from Redis; the delay until `deny` takes effect
/// everywhere.
const DECISION_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Entry point: starts the service in this process.
#[derive(Debug)]
pub struct Service;

/// A service that is running.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct RunningService {
    pub addresses: ListenAddresses,
    pub health: Health,
    pub issuer: Issuer,
}

/// The bound addresses; port 0 is replaced by the port the system chose.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct ListenAddresses {
    pub public: ListenAddr,
    pub internal: Option<ListenAddr>,
    pub admin: ListenAddr,
}

impl ListenAddresses {
    /// Lists the addresses by role, for `service_kit::telemetry::announce`.
    pub fn by_role(&self) -> impl Iterator<Item = (&'static str, &ListenAddr)> {
        let always = [("public", &self.public), ("admin", &self.admin)];
        always.into_iter().chain(self.internal.iter().map(|address| ("internal", address)))
    }
}

/// Returns what to do about a Redis that rejected this service's user.
fn advice(error: &DbError) -> String {
    redis_access::advice(&error.to_string())
        .map_or_else(String::new, |advice| format!(": {advice}"))
}

/// Reasons why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(#[from] io::Error),
    /// The relays' Redis rejects the service, or holds what cannot be read; without it there are no keys.
    #[error("{0} (TURN_CRED_REDIS_URL){advice}", advice = advice(.0))]
    Db(#[from] DbError),
    /// A metric could not be registered.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// All listeners, bound before any task starts: a port that is taken leaves nothing running.
struct BoundListeners {
    public: Listener,
    internal: Option<Listener>,
    admin: Listener,
}

impl BoundListeners {
    async fn bind(config: &Config) -> io::Result<Self> {
        let proxies = config.proxies.trusted.clone();
        let bounds =
            ConnectionBounds { most_per_address: Some(PER_ADDRESS), proxies, ..Default::default() };
        let public = Listener::bind(&config.listen)
            .await?
            .with_bounds(bounds)
            .with_mode(config.socket_mode)?;
        let internal = match &config.internal_listen {
            Some(address) => Some(Listener::bind(address).await?.with_mode(config.socket_mode)?),
            None => None,
        };
        let admin = Listener::bind(&config.admin_listen).await?;
        Ok(Self { public, internal, admin })
    }

    fn addresses(&self) -> ListenAddresses {
        ListenAddresses {
            public: self.public.address().clone(),
            internal: self.internal.as_ref().map(|listener| listener.address().clone()),
            admin: self.admin.address().clone(),
        }
    }
}

impl Service {
    /// Binds every listener, then serves on all of them until `life.soft` is cancelled.
    ///
    /// The listeners are tasks of `life`, so [`Lifecycle::finished`] waits for requests in flight.
    ///
    /// # Errors
    /// When the relays' Redis rejects the service or an address cannot be bound. While that Redis is unavailable, this
    /// waits for it: the probes answer, and callers are refused.
    pub async fn start(config: Config, life: &Lifecycle) -> Result<RunningService, StartError> {
        let metrics = Metrics::new()?;
        let bound = BoundListeners::bind(&config).await?;
        let (addresses, health) = (bound.addresses(), Health::new());
        // Answers probes while the keys are waited for.
        spawn_listener(life, bound.admin, admin_router(metrics.registry(), health.clone()));
        let opening = KeyStore::wait(&config.credentials, &health);
        let (public, internal) = (bound.public, bound.internal);
        // Boxed, since its future is large.
        let opened = Box::pin(refuse_while(&public, internal.as_ref(), &metrics, opening)).await?;
        let KeyStore { keys, rotator, usage } = opened;
        let pools =
            config.credentials.pools.clone().expect("a missing value was reported as a fault");
        let issuer = Issuer::new(keys, pools, config.credentials.ttl_settings);
        let running = RunningService { addresses, health, issuer };
        let rooms =
            usage.as_ref().map(|usage| spawn_redis_tasks(&running.issuer, usage, &metrics, life));
        if let Some(listener) = internal {
            let (issuer, token) = (running.issuer.clone(), config.internal_token.clone());
            let (end, metrics) = (life.soft.clone(), metrics.clone());
            let state = InternalState::new(issuer, token, rooms, end, metrics);
            spawn_listener(life, listener, internal_router(state));
        }
        let revoked = spawn_revocations(&config, usage.as_ref().map(|usage| &usage.db), life).await;
        spawn_background_tasks(&running.issuer, rotator, &config, &metrics, life);
        spawn_listener(
            life,
            public,
            build_public_router(config, running.issuer.clone(), (usage, revoked), metrics, life),
        );
        life.tasks.spawn(fail_readiness_on_shutdown(life.clone(), running.health.clone()));
        running.health.ready();
        Ok(running)
    }
}

/// Refuses the callers of both listeners while `opening` runs.
async fn refuse_while<T>(
    public: &Listener,
    internal: Option<&Listener>,
    metrics: &Metrics,
    opening: impl Future<Output = T>,
) -> T {
    let opening = serve_while(public, starting_router(metrics.clone()), opening);
    match internal {
        Some(listener) => serve_while(listener, starting_router(metrics.clone()), opening).await,
        None => opening.await,
    }
}

fn spawn_listener(life: &Lifecycle, listener: Listener, router: Router) {
    life.tasks.spawn(serve(listener, router, life.soft.clone()));
}

/// Starts the tasks that need no Redis of their own: secret rotation, relay probes, the key
/// watcher.
fn spawn_background_tasks(
    issuer: &Issuer,
    rotator: Option<SecretRotator>,
    config: &Config,
    metrics: &Metrics,
    life: &Lifecycle,
) {
    let connect_options = config.credentials.connect_options(PROBE_TIMEOUT);
    if let Some(rotator) = rotator {
        let (leader_id, pools) = (service_kit::random::token(), issuer.pools().clone());
        let context =
            RotationContext { leader_id, pools, connect_options: connect_options.clone() };
        spawn_until_shutdown(life, rotator.run(issuer.clone(), context, metrics.clone()));
    }
    if !config.probe_every.is_zero() {
        let (issuer, every, metrics) = (issuer.clone(), config.probe_every, metrics.clone());
        spawn_until_shutdown(life, RelayMonitor { issuer, connect_options, every, metrics }.run());
    }
    let issuer = issuer.clone();
    spawn_until_shutdown(life, async move { issuer.watch_keys().await });
}

/// Starts the tasks that use the relays' Redis: decision polling, usage counting, and recording of
/// rooms.
fn spawn_redis_tasks(
    issuer: &Issuer,
    usage: &UsageDb,
    metrics: &Metrics,
    life: &Lifecycle,
) -> RoomRecorder {
    spawn_until_shutdown(life, poll_decisions(usage.db.clone(), issuer.clone()));
    let counter = UsageCounter { usage: usage.clone(), metrics: metrics.clone() };
    spawn_until_shutdown(life, counter.run());
    let (recorder, writing) = RoomRecorder::new(usage.clone());
    spawn_until_shutdown(life, writing);
    recorder
}

/// Reads the revocations of the nodes, and follows them.
async fn spawn_revocations(
    config: &Config,
    db: Option<&RelayDb>,
    life: &Lifecycle,
) -> Arc<RevokedTokens> {
    let revoked = Arc::new(RevokedTokens::new(config.rooms_redis_prefix.clone()));
    let (following, mut version) = (revoked.clone(), String::new());
    if let Some(access) = config.rooms_redis.clone() {
        spawn_until_shutdown(life, async move {
            let db = connect_rooms_redis(&access).await;
            following.read(&db, &mut version).await;
            following.follow(db, version).await;
        });
    } else if let Some(db) = db.cloned() {
        following.read(&db, &mut version).await;
        spawn_until_shutdown(life, async move { following.follow(db, version).await });
    }
    revoked
}

/// Connects to the Redis of the nodes, which need not be there when the service starts.
async fn connect_rooms_redis(access: &RedisAccess) -> RelayDb {
    loop {
        match RelayDb::connect(access, "").await {
            Ok(db) => return db,
            Err(error) => {
                warn!(%error, "cannot read the revocations of the nodes (TURN_CRED_ROOMS_REDIS_URL)");
            }
        }
        tokio::time::sleep(CONNECT_AGAIN_AFTER).await;
    }
}

/// Applies operator decisions from Redis to the issuer until the task is dropped.
async fn poll_decisions(db: RelayDb, issuer: Issuer) {
    let (mut edition, mut is_readable) = (String::new(), true);
    loop {
        match db.decisions(&edition, clock::unix_seconds()).await {
            Ok(Some(decisions)) => {
                is_readable = true;
                edition.clone_from(&decisions.edition);
                issuer.set_decisions(decisions);
            }
            Ok(None) => is_readable = true,
            // The last known decisions stay in force.
            Err(error) if is_readable => {
                is_readable = false;
                let advice = advice(&error);
                warn!(
                    "cannot read the operators' decisions, keeping the known ones: {error} \
                     (TURN_CRED_REDIS_URL){advice}"
                );
            }
            Err(error) => debug!(%error, "cannot read the operators' decisions"),
        }
        tokio::time::sleep(DECISION_POLL_INTERVAL).await;
    }
}

fn spawn_until_shutdown(life: &Lifecycle, work: impl Future<Output = ()> + Send + 'static) {
    let end = life.soft.clone();
    life.tasks.spawn(async move { end.run_until_cancelled(work).await });
}

/// Builds the public router and starts the refresh of its token keys.
fn build_public_router(
    config: Config,
    issuer: Issuer,
    (usage, revoked): (Option<UsageDb>, Arc<RevokedTokens>),
    metrics: Metrics,
    life: &Lifecycle,
) -> Router {
    if !config.verifier.has_keys() {
        // Not an error: `config::check_callers` made sure that API keys or the internal listener
        // exist.
        info!("no token keys are set: the public listener rejects every token");
    }
    config.verifier.warn_of_any_audience();
    let verifier = Arc::new(config.verifier);
    life.tasks.spawn(Arc::clone(&verifier).refresh(life.soft.clone()));
    let state = PublicState {
        issuer,
        verifier,
        revoked,
        api_keys: config.api_keys,
        by_subject: Limiter::new(config.rate_per_subject),
        by_address: Limiter::new(config.rate_per_ip),
        proxies: config.proxies,
        usage,
        metrics,
    };
    public_router(state, &config.allowed_origins)
}

async fn fail_readiness_on_shutdown(life: Lifecycle, health: Health) {
    life.soft.cancelled().await;
    info!("shutting down: no new requests are accepted");
    health.not_ready("draining");
}
