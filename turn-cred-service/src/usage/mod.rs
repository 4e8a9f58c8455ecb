//! Counts what the relays relay, for whom and in which room, and who has had enough.
//!
//! coturn publishes what each allocation relays in its Redis. One credential service of all, whoever has
//! the lead, adds that up there (`UsageCounter`); all of them read who is over the budget. In which room a
//! subject is, whoever issued the credential has noted (`RoomRecorder`): a TURN username cannot say it, since
//! the quotas of a relay go by the whole of it.

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

/// How often what was heard is added up in Redis.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How long the lead is kept without being renewed.
const LEASE: Duration = Duration::from_secs(5);

/// How often who does not have the lead asks for it.
const ELECTION_INTERVAL: Duration = Duration::from_secs(2);

/// Rooms that wait to be noted; more are not, which only costs statistics.
const QUEUE_CAPACITY: usize = 4096;

/// How many rooms are noted at once.
const MAX_BATCH: usize = 512;

/// In how long a time usage is counted where there is no budget.
const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// The window that is counted in now.
#[must_use]
pub fn window(budget: Option<Budget>, now: u64) -> Window {
    Window::at(now, budget.map_or(DEFAULT_WINDOW, |budget| budget.per).as_secs())
}

/// Adds up what the relays report, while it has the lead.
#[derive(Debug)]
pub(crate) struct UsageCounter {
    pub(crate) db: RelayDb,
    pub(crate) budget: Option<Budget>,
    pub(crate) metrics: Metrics,
}

impl UsageCounter {
    /// Counts until dropped.
    pub(crate) async fn run(self) {
        let leader_id = service_kit::random::token();
        loop {
            // Without Redis there are no secrets either, and that is told elsewhere.
            let is_leader =
                self.db.acquire_lease("accountant", &leader_id, LEASE).await.unwrap_or(false);
            if is_leader && let Err(error) = self.count(&leader_id).await {
                warn!(%error, "usage cannot be counted: {error}");
            }
            tokio::time::sleep(ELECTION_INTERVAL).await;
        }
    }

    /// Counts as long as it has the lead.
    async fn count(&self, leader_id: &str) -> Result<(), DbError> {
        let mut reports = pin!(self.db.reports().await?);
        let mut clock = interval(FLUSH_INTERVAL);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pending = ByteCounts::new();
        info!("counting what the relays relay");
        loop {
            tokio::select! {
                report = reports.next() => match report {
                    Some((topic, message)) => self.record(&topic, &message, &mut pending),
                    None => return Ok(()),
                },
                _ = clock.tick() => {
                    self.flush(&std::mem::take(&mut pending)).await?;
                    if !self.db.acquire_lease("accountant", leader_id, LEASE).await? {
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

    /// Adds up what was heard, and notes who has had enough.
    async fn flush(&self, pending: &ByteCounts) -> Result<(), DbError> {
        if pending.is_empty() {
            return Ok(());
        }
        let window = window(self.budget, clock::unix_seconds());
        let rooms = self.by_room(window, pending).await?;
        let totals = self.db.add_usage(window, pending, &rooms).await?;
        let Some(budget) = self.budget else { return Ok(()) };
        let over = totals.into_iter().filter(|(pseudonym, total)| {
            // Once, when it is passed.
            *total > budget.bytes && total - pending[pseudonym] <= budget.bytes
        });
        let over: Vec<_> = over.map(|(pseudonym, _)| pseudonym).collect();
        if over.is_empty() {
            return Ok(());
        }
        self.metrics.usage.over_budget.inc_by(over.len() as u64);
        info!(subjects = over.len(), "{} subjects have relayed more than {budget}", over.len());
        self.db.mark_over_budget(window, &over).await
    }

    async fn by_room(&self, window: Window, pending: &ByteCounts) -> Result<ByteCounts, DbError> {
        let subjects: Vec<_> = pending.keys().collect();
        let rooms = self.db.rooms(window, &subjects).await?;
        let mut found = HashMap::new();
        for (subject, room) in subjects.into_iter().zip(rooms) {
            if let Some(room) = room {
                *found.entry(room).or_default() += pending[subject];
            }
        }
        Ok(found)
    }
}

/// Takes notes of who was issued something for which room.
#[derive(Clone, Debug)]
pub(crate) struct RoomRecorder(mpsc::Sender<(String, String)>);

impl RoomRecorder {
    /// Starts taking notes; the second part writes them down until dropped.
    pub(crate) fn new(
        db: RelayDb,
        budget: Option<Budget>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
        (Self(sender), write_rooms(db, budget, receiver))
    }

    /// Notes a room, unless too many wait.
    pub(crate) fn record(&self, pseudonym: &str, room: &str) {
        // Statistics are not worth waiting for.
        let _ = self.0.try_send((pseudonym.to_owned(), room.to_owned()));
    }
}

async fn write_rooms(
    db: RelayDb,
    budget: Option<Budget>,
    mut pairs: mpsc::Receiver<(String, String)>,
) {
    let mut batch = Vec::new();
    while pairs.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let window = window(budget, clock::unix_seconds());
        if let Err(error) = db.record_rooms(window, &batch).await {
            warn!(%error, "rooms could not be noted: {error}");
        }
        batch.clear();
    }
}
