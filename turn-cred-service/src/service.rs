//! The running service: three listeners that begin and end together.

use std::io;
use std::sync::Arc;

use service_kit::http::Router;
use service_kit::http::{Health, ListenAddr, Listener, admin_router, serve};
use service_kit::lifecycle::Lifecycle;
use service_kit::rate::Limiter;
use tracing::info;

use crate::config::Config;
use crate::http::{InternalDesk, PublicDesk, internal_router, public_router};
use crate::issuer::Issuer;
use crate::metrics::Metrics;

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

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(#[from] io::Error),
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
        let bound = Bound::bind(&config).await?;
        let running = Running {
            addresses: bound.addresses(),
            health: Health::new(),
            issuer: config.issuer.clone(),
        };
        if let Some(listener) = bound.internal {
            let (issuer, token) = (config.issuer.clone(), config.internal_token.clone());
            let desk = InternalDesk::new(issuer, token, listener.address(), metrics.clone());
            spawn(life, listener, internal_router(desk));
        }
        spawn(life, bound.admin, admin_router(metrics.registry(), running.health.clone()));
        spawn(life, bound.public, public(config, metrics, life));
        life.tasks.spawn(follow_end(life.clone(), running.health.clone()));
        running.health.ready();
        Ok(running)
    }
}

fn spawn(life: &Lifecycle, listener: Listener, router: Router) {
    life.tasks.spawn(serve(listener, router, life.soft.clone()));
}

/// Puts together the public listener and keeps its token keys fresh.
fn public(config: Config, metrics: Metrics, life: &Lifecycle) -> Router {
    if !config.verifier.has_keys() {
        // Not a fault: `Config` has seen to it that somebody can call.
        info!("no token keys are set: the public listener refuses every token");
    }
    let verifier = Arc::new(config.verifier);
    life.tasks.spawn(Arc::clone(&verifier).refresh(life.soft.clone()));
    let desk = PublicDesk {
        issuer: config.issuer,
        verifier,
        api_keys: config.api_keys,
        by_subject: Limiter::new(config.rate_per_subject),
        by_address: Limiter::new(config.rate_per_ip),
        trusted_proxies: config.trusted_proxies,
        region_header: config.region_header,
        metrics,
    };
    public_router(desk, &config.allowed_origins)
}

async fn follow_end(life: Lifecycle, health: Health) {
    life.soft.cancelled().await;
    info!("winding down: no new requests are taken");
    health.not_ready("draining");
}
