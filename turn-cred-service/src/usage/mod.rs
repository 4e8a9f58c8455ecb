//! Counts relayed bytes per subject and room, and marks subjects over their budget.
//!
//! coturn publishes the traffic of each allocation in its Redis. The instance with the lease adds
//! it up there (`UsageCounter`); all instances read who is over budget. A message names the
//! pseudonym but not the room, so the issuing instance records the room of each subject
//! (`RoomRecorder`). The room cannot go into the TURN username: relays apply their user quota to
//! the whole of it.

mod budget;
mod coturn_event;

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use service_kit::clock;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::relay_db::{ByteCounts, DbError, RelayDb, Window};
use coturn_event::{CoturnEvent, parse_event};

pub use budget::Budget;

/// Interval at which collected bytes are written to Redis.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Validity of the lease without renewal.
const LEASE: Duration = Duration::from_secs(5);

/// Interval at which an instance without the lease tries to get it.
const ELECTION_INTERVAL: Duration = Duration::from_secs(2);

/// Rooms waiting to be recorded; beyond that they are dropped, which costs statistics only.
const QUEUE_CAPACITY: usize = 4096;

/// Rooms recorded per command.
const MAX_BATCH: usize = 512;

/// Length of the window without a budget.
const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// The Redis where usage is counted, and the budget that it is held against.
#[derive(Clone, Debug)]
pub struct UsageDb {
    #[expect(missing_docs, reason = "the name says it all")]
    pub db: RelayDb,
    /// What a subject may relay; without one usage is only counted.
    pub budget: Option<Budget>,
}

impl UsageDb {
    /// Returns the window at `now`, in Unix seconds.
    #[must_use]
    pub fn window(&self, now: u64) -> Window {
        Window::at(now, self.budget.map_or(DEFAULT_WINDOW, |budget| budget.per).as_secs())
    }
}

/// Adds up the traffic of all relays while this process holds the lease.
#[derive(Debug)]
pub(crate) struct UsageCounter {
    pub(crate) usage: UsageDb,
    pub(crate) metrics: Metrics,
}

impl UsageCounter {
    /// Counts until the future is dropped.
    pub(crate) async fn run(self) {
        let leader_id = service_kit::random::token();
        loop {
            // An unreachable Redis is reported by `SecretRotator`, if the secrets are there too.
            let is_leader =
                self.usage.db.acquire_lease("accountant", &leader_id, LEASE).await.unwrap_or(false);
            if is_leader && let Err(error) = self.count(&leader_id).await {
                warn!(%error, "usage cannot be counted: {error}");
            }
            tokio::time::sleep(ELECTION_INTERVAL).await;
        }
    }

    /// Counts until the lease is lost.
    async fn count(&self, leader_id: &str) -> Result<(), DbError> {
        let mut reports = pin!(self.usage.db.reports().await?);
        let mut clock = interval(FLUSH_INTERVAL);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pending = ByteCounts::new();
        info!("this instance counts the usage of the relays");
        loop {
            tokio::select! {
                report = reports.next() => match report {
                    Some((topic, message)) => self.record(&topic, &message, &mut pending),
                    None => return Ok(()),
                },
                _ = clock.tick() => {
                    self.flush(&std::mem::take(&mut pending)).await?;
                    if !self.usage.db.acquire_lease("accountant", leader_id, LEASE).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn record(&self, topic: &str, message: &str, pending: &mut ByteCounts) {
        match parse_event(topic, message) {
            Some(CoturnEvent::Relayed { pseudonym, bytes }) => {
                self.metrics.usage.relayed.inc_by(bytes);
                *pending.entry(pseudonym).or_default() += bytes;
            }
            Some(CoturnEvent::Opened) => {
                self.metrics.usage.allocations.with_label_values(&["opened"]).inc();
            }
            Some(CoturnEvent::Closed) => {
                self.metrics.usage.allocations.with_label_values(&["closed"]).inc();
            }
            None => {}
        }
    }

    /// Adds the bytes to Redis and marks subjects that crossed their budget.
    ///
    /// The bytes of a failed flush are dropped: Redis may have added them, and a repetition would
    /// count them twice.
    async fn flush(&self, pending: &ByteCounts) -> Result<(), DbError> {
        if pending.is_empty() {
            return Ok(());
        }
        let window = self.usage.window(clock::unix_seconds());
        let rooms = self.by_room(window, pending).await?;
        let totals = self.usage.db.add_usage(window, pending, &rooms).await?;
        let Some(budget) = self.usage.budget else { return Ok(()) };
        let over = totals.into_iter().filter(|(pseudonym, total)| {
            // Only the flush that crosses the budget marks the subject; marking again would bump
            // the edition and make every instance re-read the decisions.
            *total > budget.bytes && total - pending[pseudonym] <= budget.bytes
        });
        let over: Vec<_> = over.map(|(pseudonym, _)| pseudonym).collect();
        if over.is_empty() {
            return Ok(());
        }
        self.metrics.usage.over_budget.inc_by(over.len() as u64);
        info!(subjects = over.len(), "{} subjects have relayed more than {budget}", over.len());
        self.usage.db.mark_over_budget(window, &over).await
    }

    async fn by_room(&self, window: Window, pending: &ByteCounts) -> Result<ByteCounts, DbError> {
        let subjects: Vec<_> = pending.keys().collect();
        let rooms = self.usage.db.rooms(window, &subjects).await?;
        let mut found = HashMap::new();
        for (subject, room) in subjects.into_iter().zip(rooms) {
            if let Some(room) = room {
                *found.entry(room).or_default() += pending[subject];
            }
        }
        Ok(found)
    }
}

/// Records the room of each issued credential.
#[derive(Clone, Debug)]
pub(crate) struct RoomRecorder(mpsc::Sender<(String, String)>);

impl RoomRecorder {
    /// Returns the recorder and the future that writes its queue to Redis.
    pub(crate) fn new(usage: UsageDb) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
        (Self(sender), write_rooms(usage, receiver))
    }

    /// Queues a room; drops it if the queue is full.
    pub(crate) fn record(&self, pseudonym: &str, room: &str) {
        // A full queue must not delay an answer for the sake of statistics.
        let _ = self.0.try_send((pseudonym.to_owned(), room.to_owned()));
    }
}

async fn write_rooms(usage: UsageDb, mut pairs: mpsc::Receiver<(String, String)>) {
    let mut batch = Vec::new();
    while pairs.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let window = usage.window(clock::unix_seconds());
        if let Err(error) = usage.db.record_rooms(window, &batch).await {
            warn!(%error, "rooms could not be recorded: {error}");
        }
        batch.clear();
    }
}
