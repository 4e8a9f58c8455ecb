//! What stands in Redis's place: one log in memory, by the clock of the simulation, and the
//! counters of all nodes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signal_node::log::memory::MemoryLog;
use signal_node::log::{Heartbeats, LogError, Retention};
use signal_protocol::NodeId;
use tokio::time::Instant;

/// When every simulation begins: 2026-01-01.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// What all nodes share.
pub(super) struct Store {
    retention: Retention,
    clock: Arc<Clock>,
    /// Whether it answers reads and refuses writes.
    refuses: AtomicBool,
    /// The last is the log as it is now; those before it are lost, but not yet to who subscribed to them.
    logs: Mutex<Vec<Arc<MemoryLog>>>,
    counters: Mutex<BTreeMap<NodeId, u64>>,
    /// The log as it was at the last fault, as a snapshot on disk or a replica that is behind holds it.
    kept: Mutex<Option<Arc<MemoryLog>>>,
}

/// The wall clock of the log, which can be set.
struct Clock {
    began: Instant,
    off_by_seconds: AtomicI64,
}

impl Clock {
    fn now(&self) -> Duration {
        let (right, seconds) =
            (EPOCH + self.began.elapsed(), self.off_by_seconds.load(Ordering::Relaxed));
        let off_by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { right.saturating_sub(off_by) } else { right + off_by }
    }
}

impl Store {
    pub(super) fn new(retention: Retention) -> Arc<Self> {
        let clock = Arc::new(Clock { began: Instant::now(), off_by_seconds: AtomicI64::new(0) });
        let logs = Mutex::new(vec![empty(retention, &clock)]);
        let (counters, kept) = (Mutex::default(), Mutex::default());
        Arc::new(Self { retention, clock, refuses: AtomicBool::new(false), logs, counters, kept })
    }

    /// The log as it is now.
    pub(super) fn log(&self) -> Arc<MemoryLog> {
        self.logs().last().cloned().expect("there is always a log")
    }

    /// Answers reads and refuses writes from now on, or accepts them again.
    pub(super) fn refuse_writes(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Lets a write through, unless writes are refused.
    pub(super) fn accept_write(&self) -> Result<(), LogError> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(LogError::WriteRefused("OOM command not allowed".to_owned()));
        }
        Ok(())
    }

    /// Sets its clock by so many seconds.
    pub(super) fn step_clock(&self, seconds: i64) {
        self.clock.off_by_seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Keeps a snapshot.
    pub(super) fn keep(&self) {
        *self.kept() = Some(self.copy(&self.log()));
    }

    /// Loses everything, or what came after the last snapshot.
    pub(super) fn lose(&self, has_snapshot: bool) {
        let kept = self.kept().clone().filter(|_| has_snapshot);
        let log = kept.map(|kept| self.copy(&kept));
        self.logs().push(log.unwrap_or_else(|| empty(self.retention, &self.clock)));
        self.counters().clear();
    }

    fn copy(&self, log: &MemoryLog) -> Arc<MemoryLog> {
        let clock = self.clock.clone();
        Arc::new(log.copy(move || clock.now()))
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<MemoryLog>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises the counter of a node if its heartbeater beats, and returns all of them.
    pub(super) fn exchange(&self, node: &NodeId, beats: bool) -> Heartbeats {
        let mut counters = self.counters();
        if beats {
            *counters.entry(node.clone()).or_default() += 1;
        }
        let counters = counters.iter().map(|(node, count)| (node.clone(), *count)).collect();
        Heartbeats { clock: self.clock.now(), counters }
    }

    /// Takes nodes off the list.
    pub(super) fn forget(&self, nodes: &[NodeId]) {
        self.counters().retain(|node, _| !nodes.contains(node));
    }

    fn logs(&self) -> MutexGuard<'_, Vec<Arc<MemoryLog>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counters(&self) -> MutexGuard<'_, BTreeMap<NodeId, u64>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn empty(retention: Retention, clock: &Arc<Clock>) -> Arc<MemoryLog> {
    let clock = clock.clone();
    Arc::new(MemoryLog::with_clock(retention, move || clock.now()))
}
