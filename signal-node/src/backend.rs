//! Opens the room log that the settings name, and waits for a Redis that cannot be reached yet.

use std::sync::{Arc, Weak};
use std::time::Duration;

use service_kit::http::{Health, Listener, serve_while};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::config::{Backend, Config};
use crate::http::starting_router;
use crate::liveness::{HeartbeatSettings, Heartbeater, Liveness};
use crate::log::memory::MemoryLog;
use crate::log::redis::{RedisLog, exposure};
use crate::log::{
    EventStore, HeartbeatStore, LogError, Revocations, RoomLog, TimelineStore, Trouble,
};
use crate::metrics::Metrics;
use crate::webhooks::Sender;

/// How often rooms in memory that are over are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(5);

/// Pause before a Redis that could not be reached is tried again. An attempt takes up to six seconds where packets are
/// lost, and a node must serve within ten of the return of Redis.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The room log, the liveness of the other nodes, and our own heartbeats.
pub(crate) struct Log {
    pub(crate) rooms: Arc<dyn RoomLog>,
    pub(crate) heartbeats: Arc<dyn HeartbeatStore>,
    pub(crate) revocations: Arc<dyn Revocations>,
    pub(crate) timelines: Arc<dyn TimelineStore>,
    /// The queues of events, where some are stored.
    pub(crate) events: Option<Arc<dyn EventStore>>,
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) heartbeater: Option<Heartbeater>,
}

/// A node that has no room log yet.
#[derive(Clone, Copy)]
pub(crate) struct Starting<'a> {
    pub(crate) config: &'a Config,
    pub(crate) metrics: &'a Arc<Metrics>,
    pub(crate) health: &'a Health,
}

impl Starting<'_> {
    /// Opens the log. While it is unavailable, the node is not ready, and clients of `listener` are refused.
    ///
    /// # Errors
    /// Any but [`LogError::Unavailable`], which ends by itself.
    pub(crate) async fn open_log(self, listener: &Listener) -> Result<Log, LogError> {
        match self.try_open().await {
            Err(LogError::Unavailable(words)) => {
                self.report(&words);
                warn!(
                    "waiting for Redis, which is unavailable: {words}; if it should run, look at its address in \
                     SIGNAL_NODE_REDIS_URL, its name in DNS and the network"
                );
                let router = starting_router(self.metrics.clone());
                let log = serve_while(listener, router, self.wait()).await?;
                info!("Redis has been reached: the node serves");
                Ok(log)
            }
            opened => opened,
        }
    }

    /// Tries to open the log until it is available.
    async fn wait(self) -> Result<Log, LogError> {
        loop {
            sleep(CONNECT_AGAIN_AFTER).await;
            match self.try_open().await {
                Err(LogError::Unavailable(words)) => {
                    debug!("still waiting for Redis: {words}");
                    self.report(&words);
                }
                opened => return opened,
            }
        }
    }

    /// Reports to probes and metrics why the node does not serve.
    fn report(self, words: &str) {
        self.health.not_ready(format!("waiting for Redis, which is unavailable: {words}"));
        self.metrics.log_trouble(Some(&Trouble::CutOff(words.to_owned())));
    }

    async fn try_open(self) -> Result<Log, LogError> {
        let Self { config, metrics, .. } = self;
        match &config.backend {
            Backend::Memory => {
                metrics.log_up.set(1);
                Ok(Log::in_memory(config))
            }
            Backend::Redis { access, publishing, prefix } => {
                let lease = config.lease;
                let log = RedisLog::connect(access, prefix, *publishing, config.retention, lease);
                // Boxed, since its future is large.
                let log = Box::pin(log).await?;
                let log = match events(config) {
                    Some((keep, attended)) => log.with_events(keep, attended),
                    None => log,
                };
                if let Some(open) = exposure(access) {
                    warn!("rooms are kept in a Redis that is reached {open}");
                }
                Ok(Log::in_redis(log, config, metrics))
            }
        }
    }
}

/// Returns for how long queues of events are kept after their last one, and how long a node attends to one, if events are stored
/// at all. An endpoint that comes back finds what was given up meanwhile, too.
fn events(config: &Config) -> Option<(Duration, Duration)> {
    let webhooks = config.webhooks.as_ref()?;
    Some((webhooks.give_up * 2 + Duration::from_secs(3_600), Sender::attended(config.lease)))
}

impl Log {
    fn in_memory(config: &Config) -> Self {
        let log = MemoryLog::new(config.retention);
        let log = Arc::new(match events(config) {
            Some((keep, attended)) => log.with_events(keep, attended),
            None => log,
        });
        tokio::spawn(forget_regularly(Arc::downgrade(&log)));
        Self {
            heartbeats: log.clone(),
            revocations: log.clone(),
            timelines: log.clone(),
            events: config.webhooks.is_some().then(|| log.clone() as Arc<dyn EventStore>),
            rooms: log,
            liveness: Liveness::alone(),
            heartbeater: None,
        }
    }

    fn in_redis(log: RedisLog, config: &Config, metrics: &Arc<Metrics>) -> Self {
        let (log, own, lease) = (Arc::new(log), config.sessions.node.clone(), config.lease);
        let liveness = Liveness::among(own.clone(), lease);
        let settings = HeartbeatSettings { own, lease, keep: config.retention.room * 2 };
        let heartbeater = Heartbeater::start(&liveness, settings, log.clone(), metrics.clone());
        Self {
            heartbeats: log.clone(),
            revocations: log.clone(),
            timelines: log.clone(),
            events: config.webhooks.is_some().then(|| log.clone() as Arc<dyn EventStore>),
            rooms: log,
            liveness,
            heartbeater: Some(heartbeater),
        }
    }
}

/// Has the log in memory drop the rooms that are over, every `FORGET_EVERY`, until the log itself is dropped.
async fn forget_regularly(log: Weak<MemoryLog>) {
    loop {
        sleep(FORGET_EVERY).await;
        let Some(log) = log.upgrade() else { return };
        log.forget();
    }
}
