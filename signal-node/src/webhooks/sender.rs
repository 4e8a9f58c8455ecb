//! The task that sends what is queued.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use service_kit::lifecycle::Lifecycle;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::attendance::{Attendance, Attended, Found, Orphans};
use super::backoff::Backoff;
use super::delivery::Delivery;
use super::endpoint::Endpoint;
use super::schedule::{Finished, Job, Schedule};
use super::settings::WebhookSettings;
use crate::liveness::Liveness;
use crate::log::{ChangedBy, EventQueue, EventScope, EventStore, RoomLog};
use crate::metrics::Metrics;
use crate::room::{RoomSettings, Rooms};

/// How long the node that made a change has to send it before another one looks, in leases.
const LOOK_AFTER: u32 = 1;

/// How long what is under way may take when the node ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// Looks at queues without nodes in each lease, and says in every second one of them what this node attends to.
const LOOKS_PER_LEASE: u32 = 2;

/// What a sender works with.
#[expect(missing_docs, reason = "the names say it all")]
pub struct SenderParts {
    pub endpoints: WebhookSettings,
    pub store: Arc<dyn EventStore>,
    pub log: Arc<dyn RoomLog>,
    pub liveness: Arc<Liveness>,
    pub settings: RoomSettings,
    pub lease: Duration,
    pub metrics: Arc<Metrics>,
}

/// Sends the events that this node attends to.
pub struct Sender {
    schedule: Schedule,
    delivery: Arc<Delivery>,
    attendance: Arc<Attendance>,
    rooms: Arc<Rooms>,
    orphans: Orphans,
    lease: Duration,
    deliveries: JoinSet<(Job, Finished)>,
    looks: JoinSet<Found>,
    looked: u32,
}

impl Sender {
    /// Returns for how long a node attends to a queue without saying so again. A node says it once in a lease.
    #[must_use]
    pub fn attended(lease: Duration) -> Duration {
        lease * 5 / 2
    }

    /// Starts to send for these rooms; ends with `life`.
    ///
    /// # Errors
    /// If an HTTP client cannot be made.
    pub fn start(
        parts: SenderParts,
        rooms: Arc<Rooms>,
        life: &Lifecycle,
    ) -> Result<(), reqwest::Error> {
        let sender = Self::new(parts, rooms)?;
        life.tasks.spawn(sender.run(life.hard.clone()));
        Ok(())
    }

    fn new(parts: SenderParts, rooms: Arc<Rooms>) -> Result<Self, reqwest::Error> {
        let SenderParts { endpoints: settings, store, log, liveness, lease, metrics, .. } = parts;
        let of_rooms = parts.settings;
        let endpoints = settings.endpoints.iter().map(|(url, secrets)| {
            Endpoint::new(url.clone(), secrets.clone(), &settings.networks, settings.timeout)
        });
        let endpoints: Vec<Endpoint> = endpoints.collect::<Result<_, _>>()?;
        let backoff = Backoff { first: settings.backoff };
        let schedule = Schedule::new(endpoints.len(), backoff);
        let delivery = Delivery {
            store: store.clone(),
            endpoint_ids: endpoints.iter().map(|endpoint| endpoint.id.clone()).collect(),
            endpoints,
            node: of_rooms.node.clone(),
            events: settings.events.clone(),
            backoff,
            timeout: settings.timeout,
            batch: lease,
            give_up: settings.give_up,
            metrics,
        };
        let time = Self::attended(lease);
        let attendance = Attendance { store, log, liveness, settings: of_rooms, time };
        Ok(Self {
            schedule,
            delivery: Arc::new(delivery),
            attendance: Arc::new(attendance),
            rooms,
            orphans: Orphans::new(),
            lease,
            deliveries: JoinSet::new(),
            looks: JoinSet::new(),
            looked: 0,
        })
    }

    async fn run(mut self, end: CancellationToken) {
        let queues = self.delivery.store.changes();
        let mut looks = interval((self.lease / LOOKS_PER_LEASE).max(Duration::from_millis(100)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.begin();
            let due = self.schedule.next_due();
            tokio::select! {
                changed = queues.next() => self.changed(changed),
                Some(Ok((job, result))) = self.deliveries.join_next() => {
                    self.schedule.finished(&job, result, Instant::now());
                }
                Some(Ok(found)) = self.looks.join_next() => self.found(found),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                _ = looks.tick() => self.look(),
                () = end.cancelled() => break,
            }
        }
        // Whatever is not sent now, another node sends.
        let under_way = async { while self.deliveries.join_next().await.is_some() {} };
        let _ = timeout(FAREWELL, under_way).await;
    }

    /// Begins what may begin.
    fn begin(&mut self) {
        while let Some(job) = self.schedule.next(Instant::now()) {
            let delivery = self.delivery.clone();
            self.deliveries.spawn(async move {
                let result = delivery.run(&job).await;
                (job, result)
            });
        }
    }

    fn changed(&mut self, changed: Vec<(EventQueue, ChangedBy)>) {
        let now = Instant::now();
        for (queue, by) in changed {
            let at = match by {
                ChangedBy::ThisNode => now,
                ChangedBy::Another => now + self.lease * LOOK_AFTER,
            };
            self.schedule.changed(&queue, at, now);
        }
    }

    /// Looks for queues that nobody attends to, unless the last look is still under way.
    fn look(&mut self) {
        let now = Instant::now();
        let waits = self.schedule.oldest().map_or(Duration::ZERO, |since| now - since);
        self.delivery.metrics.webhooks.pending(waits);
        if !self.looks.is_empty() {
            return;
        }
        self.looked = self.looked.wrapping_add(1);
        let open = self.rooms.names().into_iter().filter(|room| EventScope::of(room).is_some());
        let attended = Attended {
            open: open.map(EventQueue::Room).collect(),
            pending: self.schedule.queues().cloned().collect::<HashSet<_>>(),
            orphans: std::mem::take(&mut self.orphans),
            renews: self.looked % LOOKS_PER_LEASE == 1,
        };
        self.looks.spawn(self.attendance.clone().look(attended));
    }

    fn found(&mut self, Found { orphans, taken_over }: Found) {
        self.orphans = orphans;
        let now = Instant::now();
        for queue in taken_over {
            self.schedule.changed(&queue, now, now);
        }
    }
}
