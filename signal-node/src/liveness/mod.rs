//! Which nodes of the cluster are alive, as far as this node can observe them over Redis.

mod cluster;
mod load;
mod observer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signal_protocol::NodeId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::log::{HeartbeatStore, Silent};
use crate::metrics::Metrics;
pub use cluster::{Cluster, NodeState};
use load::own_load;
use observer::Observer;

/// Reads of all heartbeats per lease.
const READS_PER_LEASE: u32 = 6;

/// A heartbeat is sent with every second read: three in a lease.
const READS_PER_BEAT: u32 = 2;

/// How long taking our own heartbeat off the list may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// The liveness of the other nodes, shared with the rooms.
pub struct Liveness {
    observer: Option<Mutex<Observer>>,
    /// Counts how often the set of silent nodes has changed.
    silence: watch::Sender<u64>,
    /// Whether the log has not answered for a lease.
    cut_off: watch::Sender<bool>,
}

impl Liveness {
    /// For a node whose log is in its own memory: there are no other nodes.
    #[must_use]
    pub fn alone() -> Arc<Self> {
        Self::with(None)
    }

    /// Observes other nodes once a [`Heartbeater`] runs.
    #[must_use]
    pub fn among(own: NodeId, lease: Duration) -> Arc<Self> {
        Self::with(Some(Mutex::new(Observer::new(own, lease, Instant::now()))))
    }

    fn with(observer: Option<Mutex<Observer>>) -> Arc<Self> {
        let (silence, cut_off) = (watch::Sender::new(0), watch::Sender::new(false));
        Arc::new(Self { observer, silence, cut_off })
    }

    fn observer(&self) -> Option<MutexGuard<'_, Observer>> {
        let observer = self.observer.as_ref()?;
        Some(observer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes when nodes fall silent, or speak again.
    #[must_use]
    pub fn silence(&self) -> watch::Receiver<u64> {
        self.silence.subscribe()
    }

    /// Changes when the log has not answered for a lease, and when it does again.
    #[must_use]
    pub fn cut_off(&self) -> watch::Receiver<bool> {
        self.cut_off.subscribe()
    }

    /// Returns the nodes that are silent now.
    #[must_use]
    pub fn silent(&self) -> Vec<Silent> {
        let now = Instant::now();
        let silent = self.observer().map(|observer| observer.silent(now)).unwrap_or_default();
        let told = silent.into_iter().map(|(node, at)| Silent { node, ago: now - at });
        told.collect()
    }

    /// Observes nodes that were met in a roster.
    pub fn watch<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeId>) {
        let Some(mut observer) = self.observer() else { return };
        let now = Instant::now();
        nodes.into_iter().for_each(|node| observer.watch(node, now));
    }

    /// Tells whether this node has been in contact with the log for as long as that. Only who was for the
    /// whole grace may say of others that they were away for it, and had the chance to come back.
    #[must_use]
    pub fn in_contact_for(&self, time: Duration) -> bool {
        match self.observer() {
            None => true,
            Some(observer) => {
                let now = Instant::now();
                observer.contact(now).is_some_and(|began| now - began >= time)
            }
        }
    }
}

/// Settings of a [`Heartbeater`].
#[derive(Clone, Debug)]
pub struct HeartbeatSettings {
    /// This node.
    pub own: NodeId,
    /// How long a node may be silent.
    pub lease: Duration,
    /// How long a silent node is remembered: longer than any room remembers it.
    pub keep: Duration,
}

/// The task that sends our heartbeat and reads those of the other nodes.
pub struct Heartbeater {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Heartbeater {
    /// Starts to send and to observe.
    #[must_use]
    pub fn start(
        liveness: &Arc<Liveness>,
        settings: HeartbeatSettings,
        heartbeats: Arc<dyn HeartbeatStore>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let stop = CancellationToken::new();
        let liveness = liveness.clone();
        let (told, failed) = (Vec::new(), Vec::new());
        let mut detector =
            FailureDetector { liveness, settings, heartbeats, metrics, told, failed };
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            if stopped.run_until_cancelled(detector.run()).await.is_none() {
                detector.end().await;
            }
        });
        Self { stop, task }
    }

    /// Stops, and takes this node off the list, so that no other node suspects it.
    pub async fn stop(self) {
        self.stop.cancel();
        // If that fails, the others suspect this node after a lease.
        let _ = timeout(FAREWELL, self.task).await;
    }
}

/// The task behind a [`Liveness`].
struct FailureDetector {
    liveness: Arc<Liveness>,
    settings: HeartbeatSettings,
    heartbeats: Arc<dyn HeartbeatStore>,
    metrics: Arc<Metrics>,
    /// The silent nodes, as of the last change that the rooms were notified of.
    told: Vec<NodeId>,
    /// The failed ones among them, as of the last log line.
    failed: Vec<NodeId>,
}

impl FailureDetector {
    async fn run(&mut self) {
        let mut reconnects = self.heartbeats.reconnects();
        let mut clock = interval(self.settings.lease / READS_PER_LEASE);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 0_u32.. {
            clock.tick().await;
            let beats = round.is_multiple_of(READS_PER_BEAT);
            let counters_read = self.heartbeats.exchange(&self.settings.own, beats).await;
            if beats && counters_read.is_ok() {
                // Best effort: load is only shown in `/v1/cluster`; the next heartbeat resends it.
                let _ = self.heartbeats.report(&self.settings.own, &own_load(&self.metrics)).await;
            }
            let broke = reconnects.has_changed().unwrap_or(false);
            reconnects.mark_unchanged();
            let now = Instant::now();
            if let Some(mut observer) = self.liveness.observer() {
                if broke {
                    observer.broke(now);
                }
                if let Ok(counters) = &counters_read {
                    observer.counters_read(counters, now);
                }
            }
            self.tell(now);
            self.forget(now).await;
        }
    }

    /// Publishes what has changed: metrics, log lines, and the watch channels of rooms and sessions.
    fn tell(&mut self, now: Instant) {
        let Some(observer) = self.liveness.observer() else { return };
        let cut_off = observer.is_cut_off(now);
        let silent: Vec<NodeId> = observer.silent(now).into_iter().map(|(node, _)| node).collect();
        let failed = observer.failed(now);
        drop(observer);
        self.metrics.log_up.set(i64::from(!cut_off));
        self.report_failed(failed);
        let changed = self
            .liveness
            .cut_off
            .send_if_modified(|was| std::mem::replace(was, cut_off) != cut_off);
        match (changed, cut_off) {
            (true, true) => {
                warn!("Redis has not answered for a lease: clients are told to look elsewhere");
            }
            (true, false) => info!("Redis answers again"),
            (false, _) => {}
        }
        if silent != self.told {
            self.told = silent;
            self.liveness.silence.send_modify(|count| *count += 1);
        }
    }

    /// Counts and logs the nodes that ended without a word. One that ended cleanly has no entry left, and is no
    /// reason for an alert.
    fn report_failed(&mut self, failed: Vec<NodeId>) {
        self.metrics.silent.set(i64::try_from(failed.len()).unwrap_or(i64::MAX));
        if failed != self.failed {
            let ids: Vec<&str> = failed.iter().map(NodeId::as_str).collect();
            info!(nodes = ids.join(","), "silent nodes: {}", failed.len());
            self.failed = failed;
        }
    }

    async fn forget(&mut self, now: Instant) {
        let gone =
            self.liveness.observer().map(|mut observer| observer.forget(self.settings.keep, now));
        if let Some(gone) = gone.filter(|gone| !gone.is_empty()) {
            // Best effort: the next round tries again.
            let _ = self.heartbeats.forget(&gone).await;
        }
    }

    async fn end(&self) {
        // If that fails, the others suspect this node after a lease.
        let _ = self.heartbeats.forget(std::slice::from_ref(&self.settings.own)).await;
    }
}
