//! Counts what the relays relay, for whom and in which room, and who has had enough.
//!
//! coturn publishes what each allocation relays in its Redis. One credential service of all, whoever has
//! the lead, adds that up there (`Accountant`); all of them read who is over the budget. In which room a
//! subject is, whoever issued the credential has noted (`RoomNotes`): a TURN username cannot say it, since
//! the quotas of a relay go by the whole of it.

mod budget;
mod report;

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use service_kit::clock;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::relay_db::{Bytes, DbError, RelayDb, Window};
use report::{Report, read};

pub use budget::Budget;

/// How often what was heard is added up in Redis.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// How long the lead is kept without being renewed.
const LEASE: Duration = Duration::from_secs(5);

/// How often who does not have the lead asks for it.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Rooms that wait to be noted; more are not, which only costs statistics.
const NOTES: usize = 4096;

/// How many rooms are noted at once.
const NOTES_PER_CALL: usize = 512;

/// In how long a time usage is counted where there is no budget.
const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// The window that is counted in now.
#[must_use]
pub fn window(budget: Option<Budget>, now: u64) -> Window {
    Window::at(now, budget.map_or(DEFAULT_WINDOW, |budget| budget.per).as_secs())
}

/// Adds up what the relays report, while it has the lead.
#[derive(Debug)]
pub(crate) struct Accountant {
    pub(crate) db: RelayDb,
    pub(crate) budget: Option<Budget>,
    pub(crate) metrics: Metrics,
}

impl Accountant {
    /// Counts until dropped.
    pub(crate) async fn run(self) {
        let who = service_kit::random::token();
        loop {
            // Without Redis there are no secrets either, and that is told elsewhere.
            let leads = self.db.lead("accountant", &who, LEASE).await.unwrap_or(false);
            if leads && let Err(error) = self.count(&who).await {
                warn!(%error, "usage cannot be counted: {error}");
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Counts as long as it has the lead.
    async fn count(&self, who: &str) -> Result<(), DbError> {
        let mut reports = pin!(self.db.reports().await?);
        let mut clock = interval(NOTE_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Bytes::new();
        info!("counting what the relays relay");
        loop {
            tokio::select! {
                report = reports.next() => match report {
                    Some((topic, message)) => self.hear(&topic, &message, &mut heard),
                    None => return Ok(()),
                },
                _ = clock.tick() => {
                    self.note(&std::mem::take(&mut heard)).await?;
                    if !self.db.lead("accountant", who, LEASE).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn hear(&self, topic: &str, message: &str, heard: &mut Bytes) {
        match read(topic, message) {
            Some(Report::Relayed { pseudonym, bytes }) => {
                self.metrics.usage.relayed.inc_by(bytes);
                *heard.entry(pseudonym).or_default() += bytes;
            }
            Some(Report::Opened) => {
                self.metrics.usage.allocations.with_label_values(&["opened"]).inc();
            }
            Some(Report::Closed) => {
                self.metrics.usage.allocations.with_label_values(&["closed"]).inc();
            }
            None => {}
        }
    }

    /// Adds up what was heard, and notes who has had enough.
    async fn note(&self, heard: &Bytes) -> Result<(), DbError> {
        if heard.is_empty() {
            return Ok(());
        }
        let window = window(self.budget, clock::unix_seconds());
        let rooms = self.by_room(window, heard).await?;
        let totals = self.db.add_usage(window, heard, &rooms).await?;
        let Some(budget) = self.budget else { return Ok(()) };
        let over = totals.into_iter().filter(|(who, total)| {
            // Once, when it is passed.
            *total > budget.bytes && total - heard[who] <= budget.bytes
        });
        let over: Vec<_> = over.map(|(who, _)| who).collect();
        if over.is_empty() {
            return Ok(());
        }
        self.metrics.usage.overdrawn.inc_by(over.len() as u64);
        info!(subjects = over.len(), "{} subjects have relayed more than {budget}", over.len());
        self.db.overdraw(window, &over).await
    }

    async fn by_room(&self, window: Window, heard: &Bytes) -> Result<Bytes, DbError> {
        let subjects: Vec<_> = heard.keys().collect();
        let rooms = self.db.rooms(window, &subjects).await?;
        let mut found = HashMap::new();
        for (subject, room) in subjects.into_iter().zip(rooms) {
            if let Some(room) = room {
                *found.entry(room).or_default() += heard[subject];
            }
        }
        Ok(found)
    }
}

/// Takes notes of who was issued something for which room.
#[derive(Clone, Debug)]
pub(crate) struct RoomNotes(mpsc::Sender<(String, String)>);

impl RoomNotes {
    /// Starts taking notes; the second part writes them down until dropped.
    pub(crate) fn new(
        db: RelayDb,
        budget: Option<Budget>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(NOTES);
        (Self(sender), write_down(db, budget, receiver))
    }

    /// Notes a room, unless too many wait.
    pub(crate) fn note(&self, pseudonym: &str, room: &str) {
        // Statistics are not worth waiting for.
        let _ = self.0.try_send((pseudonym.to_owned(), room.to_owned()));
    }
}

async fn write_down(
    db: RelayDb,
    budget: Option<Budget>,
    mut notes: mpsc::Receiver<(String, String)>,
) {
    let mut page = Vec::new();
    while notes.recv_many(&mut page, NOTES_PER_CALL).await > 0 {
        let window = window(budget, clock::unix_seconds());
        if let Err(error) = db.note_rooms(window, &page).await {
            warn!(%error, "rooms could not be noted: {error}");
        }
        page.clear();
    }
}
