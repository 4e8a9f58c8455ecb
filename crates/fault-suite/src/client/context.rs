//! What all clients of a run share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::dial::Endpoints;
use crate::history::{Peer, Recorder};

/// What clients are to do now.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Join, stay, send nothing.
    Gather,
    Load,
    /// Send nothing new and stay: what is under way arrives.
    Settle,
    /// Note the roster, and stay.
    Report,
    End,
}

/// Counts of the run so far, for waiting and for progress.
#[derive(Default)]
pub struct Counters {
    /// Clients whose membership holds on a socket.
    pub joined: AtomicU64,
    /// Signals handed over for sending.
    pub sent: AtomicU64,
    /// Signals that are not settled.
    pub unsettled: AtomicU64,
    /// Signals that arrived above the position.
    pub received: AtomicU64,
    /// Clients that have noted their roster.
    pub reported: AtomicU64,
}

impl Counters {
    /// Reads one of the counts.
    #[must_use]
    pub fn read(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }

    pub(super) fn add(count: &AtomicU64, more: u64) {
        count.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn subtract(count: &AtomicU64, less: u64) {
        count.fetch_sub(less, Ordering::Relaxed);
    }
}

/// Which member an id on the wire belongs to.
#[derive(Default)]
pub struct Directory(RwLock<HashMap<String, Peer>>);

impl Directory {
    /// Says whose an id is.
    pub fn insert(&self, id: String, peer: Peer) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id, peer);
    }

    /// Looks an id up.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Peer> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }
}

/// What all clients of a run share.
#[expect(missing_docs, reason = "the names say it all")]
pub struct Context {
    pub endpoints: Arc<dyn Endpoints>,
    /// Takes down what happens.
    pub recorder: Recorder,
    pub directory: Directory,
    /// What to do now.
    pub phase: watch::Sender<Phase>,
    /// Counts of the run so far.
    pub counters: Counters,
    /// Of all that clients draw.
    pub seed: u64,
}

impl Context {
    /// Begins a run.
    #[must_use]
    pub fn new(endpoints: impl Endpoints, seed: u64) -> Self {
        Self {
            endpoints: Arc::new(endpoints),
            recorder: Recorder::default(),
            directory: Directory::default(),
            phase: watch::Sender::new(Phase::Gather),
            counters: Counters::default(),
            seed,
        }
    }
}
