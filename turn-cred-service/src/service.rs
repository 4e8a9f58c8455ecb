//! The running service: three listeners that begin and end together.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use service_kit::clock;
use service_kit::http::Router;
use service_kit::http::{Health, ListenAddr, Listener, admin_router, serve};
use service_kit::lifecycle::Lifecycle;
use service_kit::rate::Limiter;
use service_kit::redis_access;
use tracing::{debug, info};

use crate::config::{Config, PROBE_WITHIN};
use crate::health::Watch;
use crate::http::{InternalDesk, PublicDesk, internal_router, public_router};
use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::opened::Opened;
use crate::relay_db::{DbError, RelayDb};
use crate::rotation::Keeper;
use crate::rotation::keeper::Hands;
use crate::usage::{Accountant, RoomNotes};

/// How often decisions are looked for.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Starts the service in this process.
#[derive(Debug)]
pub struct Service;

/// A service that is running.
#[derive(Clone, Debug)]
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    /// What it tells the probes.
    pub health: Health,
    /// Issues credentials to other parts of the same process.
    pub issuer: Issuer,
}

/// Where the listeners are bound, with the ports taken for port 0.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// REST for holders of tokens.
    pub public: ListenAddr,
    /// REST for the node beside us, if it is on.
    pub internal: Option<ListenAddr>,
    /// Probes and metrics.
    pub admin: ListenAddr,
}

impl Addresses {
    /// Lists the addresses by role, for `service_kit::telemetry::announce`.
    pub fn by_role(&self) -> impl Iterator<Item = (&'static str, &ListenAddr)> {
        let always = [("public", &self.public), ("admin", &self.admin)];
        always.into_iter().chain(self.internal.iter().map(|address| ("internal", address)))
    }
}

/// What to do if Redis was reached and rejected the service.
fn advice(error: &DbError) -> String {
    redis_access::advice(&error.to_string())
        .map_or_else(String::new, |advice| format!(": {advice}"))
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(#[from] io::Error),
    /// The relays' Redis, which has the keys, is not there.
    #[error("{0} (TURN_CRED_REDIS_URL){advice}", advice = advice(.0))]
    Db(#[from] DbError),
    /// The metrics contradict each other.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Everything bound, so that nothing runs before all of it can.
struct Bound {
    public: Listener,
    internal: Option<Listener>,
    admin: Listener,
}

impl Bound {
    async fn bind(config: &Config) -> io::Result<Self> {
        let public = Listener::bind(&config.listen).await?;
        let internal = match &config.internal_listen {
            Some(address) => Some(Listener::bind(address).await?),
            None => None,
        };
        let admin = Listener::bind(&config.admin_listen).await?;
        Ok(Self { public, internal, admin })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            public: self.public.address().clone(),
            internal: self.internal.as_ref().map(|listener| listener.address().clone()),
            admin: self.admin.address().clone(),
        }
    }
}

impl Service {
    /// Binds every listener, then serves on all of them until the soft end of `life`.
    ///
    /// The listeners are tasks of `life`, so that [`Lifecycle::finished`] waits for requests
    /// under way.
    ///
    /// # Errors
    /// When an address cannot be bound; nothing is left running then.
    pub async fn start(config: Config, life: &Lifecycle) -> Result<Running, StartError> {
        let metrics = Metrics::new()?;
        let Opened { keys, keeper, db } = Opened::open(&config.ground).await?;
        let pools = config.ground.pools.clone().expect("its absence is a fault");
        let issuer = Issuer::new(keys, pools, config.ground.lifetimes);
        let bound = Bound::bind(&config).await?;
        let running = Running { addresses: bound.addresses(), health: Health::new(), issuer };
        let rooms = db.as_ref().map(|db| heed(&running.issuer, db, &config, &metrics, life));
        if let Some(listener) = bound.internal {
            let (issuer, token) = (running.issuer.clone(), config.internal_token.clone());
            let (end, metrics) = (life.soft.clone(), metrics.clone());
            let desk = InternalDesk::new(issuer, token, rooms, end, metrics);
            spawn(life, listener, internal_router(desk));
        }
        look_after(&running.issuer, keeper, &config, &metrics, life);
        spawn(life, bound.admin, admin_router(metrics.registry(), running.health.clone()));
        spawn(life, bound.public, public(config, running.issuer.clone(), db, metrics, life));
        life.tasks.spawn(follow_end(life.clone(), running.health.clone()));
        running.health.ready();
        Ok(running)
    }
}

fn spawn(life: &Lifecycle, listener: Listener, router: Router) {
    life.tasks.spawn(serve(listener, router, life.soft.clone()));
}

/// Starts what goes on beside requests: following the keys and trying the relays.
fn look_after(
    issuer: &Issuer,
    keeper: Option<Keeper>,
    config: &Config,
    metrics: &Metrics,
    life: &Lifecycle,
) {
    let dialing = config.ground.dialing(PROBE_WITHIN);
    if let Some(keeper) = keeper {
        let (who, pools) = (service_kit::random::token(), issuer.pools().clone());
        let hands = Hands { who, pools, dialing: dialing.clone() };
        spawn_until_end(life, keeper.run(issuer.clone(), hands, metrics.clone()));
    }
    if !config.probe_every.is_zero() {
        let (issuer, every, metrics) = (issuer.clone(), config.probe_every, metrics.clone());
        spawn_until_end(life, Watch { issuer, dialing, every, metrics }.run());
    }
    let issuer = issuer.clone();
    spawn_until_end(life, async move { issuer.follow_keys().await });
}

/// Starts what goes on with the relays' Redis: following decisions, counting what is relayed, and taking
/// notes of rooms.
fn heed(
    issuer: &Issuer,
    db: &RelayDb,
    config: &Config,
    metrics: &Metrics,
    life: &Lifecycle,
) -> RoomNotes {
    spawn_until_end(life, follow_decisions(db.clone(), issuer.clone()));
    let budget = config.ground.budget;
    let accountant = Accountant { db: db.clone(), budget, metrics: metrics.clone() };
    spawn_until_end(life, accountant.run());
    let (notes, writing) = RoomNotes::new(db.clone(), budget);
    spawn_until_end(life, writing);
    notes
}

/// Follows what operators decide, until dropped.
async fn follow_decisions(db: RelayDb, issuer: Issuer) {
    let mut edition = String::new();
    loop {
        match db.decisions(&edition, clock::unix_seconds()).await {
            Ok(Some(decisions)) => {
                edition.clone_from(&decisions.edition);
                issuer.set_decisions(decisions);
            }
            Ok(None) => {}
            // What was decided stays so; that Redis is away is told where its secrets are followed.
            Err(error) => debug!(%error, "decisions cannot be followed"),
        }
        tokio::time::sleep(FOLLOW_EVERY).await;
    }
}

fn spawn_until_end(life: &Lifecycle, work: impl Future<Output = ()> + Send + 'static) {
    let end = life.soft.clone();
    life.tasks.spawn(async move { end.run_until_cancelled(work).await });
}

/// Puts together the public listener and keeps its token keys fresh.
fn public(
    config: Config,
    issuer: Issuer,
    db: Option<RelayDb>,
    metrics: Metrics,
    life: &Lifecycle,
) -> Router {
    if !config.verifier.has_keys() {
        // Not a fault: `Config` has seen to it that somebody can call.
        info!("no token keys are set: the public listener refuses every token");
    }
    let verifier = Arc::new(config.verifier);
    life.tasks.spawn(Arc::clone(&verifier).refresh(life.soft.clone()));
    let desk = PublicDesk {
        issuer,
        verifier,
        api_keys: config.api_keys,
        by_subject: Limiter::new(config.rate_per_subject),
        by_address: Limiter::new(config.rate_per_ip),
        trusted_proxies: config.trusted_proxies,
        region_header: config.region_header,
        db,
        budget: config.ground.budget,
        metrics,
    };
    public_router(desk, &config.allowed_origins)
}

async fn follow_end(life: Lifecycle, health: Health) {
    life.soft.cancelled().await;
    info!("winding down: no new requests are taken");
    health.not_ready("draining");
}
