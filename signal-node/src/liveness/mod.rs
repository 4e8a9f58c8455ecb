//! Which nodes of the cluster are alive, as far as this node can observe them over Redis.

mod cluster;
mod load;
mod observer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signal_protocol::NodeId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::log::{HeartbeatStore, Heartbeats, Judgement, LogError, Silent, Trouble};
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
    /// What is wrong between this node and the log.
    trouble: watch::Sender<Option<Trouble>>,
    /// Whether this trouble keeps every room here from its log.
    cut_off: watch::Sender<bool>,
    /// The clock of the log when our contact with it was proven last, in µs since 1970.
    log_clock: AtomicU64,
    /// What the log's clock said when ours began, in µs since 1970; 0: not read yet.
    log_clock_at_start: AtomicU64,
    began: Instant,
    lease: Duration,
}

impl Liveness {
    /// For a node whose log is in its own memory: there are no other nodes.
    #[must_use]
    pub fn alone() -> Arc<Self> {
        Self::with(None, Duration::ZERO)
    }

    /// Observes other nodes once a [`Heartbeater`] runs.
    #[must_use]
    pub fn among(own: NodeId, lease: Duration) -> Arc<Self> {
        Self::with(Some(Mutex::new(Observer::new(own, lease, Instant::now()))), lease)
    }

    fn with(observer: Option<Mutex<Observer>>, lease: Duration) -> Arc<Self> {
        Arc::new(Self {
            observer,
            silence: watch::Sender::new(0),
            trouble: watch::Sender::new(None),
            cut_off: watch::Sender::new(false),
            log_clock: AtomicU64::new(0),
            log_clock_at_start: AtomicU64::new(0),
            began: Instant::now(),
            lease,
        })
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

    /// Changes when something goes wrong between this node and the log, and when all is well again.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.subscribe()
    }

    /// Changes when no room here is in touch with its log for a lease, and when rooms are again.
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

    /// Returns what this node concludes from the heartbeats, for a call to the log.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        if self.observer.is_none() {
            return Judgement::certain(Vec::new());
        }
        let as_of = Duration::from_micros(self.log_clock.load(Ordering::Relaxed));
        Judgement { silent: self.silent(), as_of, valid_for: self.lease }
    }

    /// Observes nodes that were met in a roster.
    pub fn watch<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeId>) {
        let Some(mut observer) = self.observer() else { return };
        let now = Instant::now();
        nodes.into_iter().for_each(|node| observer.watch(node, now));
    }

    fn note_clock(&self, heartbeats: &Heartbeats) {
        let micros = u64::try_from(heartbeats.clock.as_micros()).unwrap_or_default();
        self.log_clock.store(micros, Ordering::Relaxed);
        let elapsed = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.log_clock_at_start.store(micros.saturating_sub(elapsed), Ordering::Relaxed);
    }

    /// Returns the log's own time, as estimated from the last heartbeat: late by as long as its answer took.
    #[must_use]
    pub fn log_time(&self) -> Option<Duration> {
        let at_start = self.log_clock_at_start.load(Ordering::Relaxed);
        (at_start > 0).then(|| Duration::from_micros(at_start) + self.began.elapsed())
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
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct HeartbeatSettings {
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
        let mut detector = FailureDetector {
            liveness,
            settings,
            heartbeats,
            metrics,
            told: Vec::new(),
            failed: Vec::new(),
            refused: None,
            clock_read: None,
        };
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
    /// Why our last heartbeat was not accepted, if it was not.
    refused: Option<LogError>,
    /// When the clock of the log was read last, and what it said.
    clock_read: Option<(Instant, Duration)>,
}

impl FailureDetector {
    async fn run(&mut self) {
        let mut reconnects = self.heartbeats.reconnects();
        let mut clock = interval(self.settings.lease / READS_PER_LEASE);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 0_u32.. {
            clock.tick().await;
            // A heartbeat that was not accepted goes again with the next read: only an accepted one proves contact.
            let beats = round.is_multiple_of(READS_PER_BEAT) || self.refused.is_some();
            let heartbeats = self.exchange(beats).await;
            if beats && heartbeats.is_ok() {
                // Best effort: load is only shown in `/v1/cluster`; the next heartbeat resends it.
                let _ = self.heartbeats.report(&self.settings.own, &own_load(&self.metrics)).await;
            }
            let now = Instant::now();
            let stepped =
                heartbeats.as_ref().is_ok_and(|heartbeats| self.has_stepped(heartbeats.clock, now));
            // Absences that a clock which was set forward seems to prove have to be observed anew as well.
            let broke = reconnects.has_changed().unwrap_or(false) || stepped;
            reconnects.mark_unchanged();
            if let Some(mut observer) = self.liveness.observer() {
                if broke {
                    observer.broke(now);
                }
                if let Ok(heartbeats) = &heartbeats {
                    observer.counters_read(&heartbeats.counters, now);
                }
            }
            self.refused = heartbeats.map(|heartbeats| self.liveness.note_clock(&heartbeats)).err();
            self.tell(now);
            self.forget(now).await;
        }
    }

    /// Tells whether the clock of the log has moved by more than half a lease other than ours since it was read last.
    fn has_stepped(&mut self, clock: Duration, now: Instant) -> bool {
        let Some((at, before)) = self.clock_read.replace((now, clock)) else { return false };
        let by = clock.abs_diff(before + (now - at));
        let stepped = by > self.settings.lease / 2;
        if stepped {
            warn!(
                "the clock of Redis has stepped by {by:?}: nobody is judged until a lease has passed"
            );
        }
        stepped
    }

    /// Sends our heartbeat if it is due, and reads those of all nodes; waits for less than a lease.
    async fn exchange(&self, beats: bool) -> Result<Heartbeats, LogError> {
        let limit = self.settings.lease / 2;
        let exchange = self.heartbeats.exchange(&self.settings.own, beats);
        let late = |_| LogError::Unavailable(format!("no answer to a heartbeat within {limit:?}"));
        timeout(limit, exchange).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    /// Publishes what has changed: metrics, log lines, and the watch channels of rooms and sessions.
    fn tell(&mut self, now: Instant) {
        let Some(observer) = self.liveness.observer() else { return };
        let is_cut_off = observer.is_cut_off(now);
        let silent: Vec<NodeId> = observer.silent(now).into_iter().map(|(node, _)| node).collect();
        let failed = observer.failed(now);
        drop(observer);
        self.report_trouble(self.trouble(is_cut_off));
        self.report_failed(failed);
        if silent != self.told {
            self.told = silent;
            self.liveness.silence.send_modify(|count| *count += 1);
        }
    }

    /// Says what is wrong. While heartbeats are accepted the connections may still be deaf, or a part of the log away;
    /// that part may be the one with the heartbeats.
    fn trouble(&self, is_cut_off: bool) -> Option<Trouble> {
        let of_connections = self.heartbeats.trouble();
        if !is_cut_off || matches!(of_connections, Some(Trouble::Partial(_))) {
            return of_connections;
        }
        Some(match &self.refused {
            Some(LogError::WriteRefused(words)) => Trouble::ReadOnly(words.clone()),
            Some(error) => Trouble::CutOff(error.to_string()),
            None => Trouble::CutOff("no heartbeat was sent for a lease".to_owned()),
        })
    }

    fn report_trouble(&self, trouble: Option<Trouble>) {
        self.metrics.log_trouble(trouble.as_ref());
        let liveness = &self.liveness;
        let is_cut_off = trouble.as_ref().is_some_and(Trouble::cuts_off);
        liveness.cut_off.send_if_modified(|was| std::mem::replace(was, is_cut_off) != is_cut_off);
        let kind = |trouble: &Option<Trouble>| trouble.as_ref().map(Trouble::name);
        let is_same_kind = kind(&trouble) == kind(&liveness.trouble.borrow());
        if is_same_kind {
            return;
        }
        if let Some(trouble) = &trouble {
            warn!(trouble = trouble.name(), "trouble with the room log: {trouble}");
        } else {
            info!("Redis answers again");
        }
        liveness.trouble.send_replace(trouble);
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
