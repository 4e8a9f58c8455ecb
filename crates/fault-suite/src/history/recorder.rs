//! Collects events while clients and nemesis run.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::{Event, History, RunSettings, SUITE, What, micros};

/// Hands out one log per client, and puts them together at the end.
pub struct Recorder {
    began: Instant,
    logs: Mutex<Vec<Log>>,
    suite: Log,
}

/// What happened to one client. Clones write to the same log.
#[derive(Clone)]
pub struct Log {
    began: Instant,
    who: u32,
    // One writer each: the lock is never waited for but while a history is put together.
    events: Arc<Mutex<Vec<Event>>>,
}

impl Log {
    fn new(began: Instant, who: u32) -> Self {
        Self { began, who, events: Arc::default() }
    }

    /// Notes that something happens now.
    pub fn note(&self, what: What) {
        let at = micros(self.began.elapsed());
        self.lock().push(Event { at, who: self.who, what });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Event>> {
        // A panic of another writer leaves whole events behind.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Recorder {
    fn default() -> Self {
        let began = Instant::now();
        Self { began, logs: Mutex::default(), suite: Log::new(began, SUITE) }
    }
}

impl Recorder {
    /// Begins a log for a client.
    #[must_use]
    pub fn client(&self, who: u32) -> Log {
        let log = Log::new(self.began, who);
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push(log.clone());
        log
    }

    /// The log of the suite itself: what it does to the cluster.
    #[must_use]
    pub fn suite(&self) -> &Log {
        &self.suite
    }

    /// Microseconds since the run began.
    #[must_use]
    pub fn now(&self) -> u64 {
        micros(self.began.elapsed())
    }

    /// Takes out everything that happened so far.
    #[must_use]
    pub fn finish(&self, settings: RunSettings) -> History {
        let mut events = std::mem::take(&mut *self.suite.lock());
        for log in self.logs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            events.append(&mut log.lock());
        }
        // Stable: what one client noted in the same microsecond stays in its order.
        events.sort_by_key(|event| event.at);
        History { settings, events }
    }
}
