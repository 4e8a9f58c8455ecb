//! Writes timelines behind the rooms: nobody waits for it, and what does not fit its queue is dropped and counted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use service_kit::clock;
use service_kit::lifecycle::Lifecycle;
use signal_protocol::{RoomId, Subject};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::event::{Event, Line};
use crate::log::{LogError, RoomProfile, TimelineKey, TimelineStore};
use crate::metrics::{Metrics, TimelineDrop};

/// Lines that may wait: a few megabytes, and what a busy node writes in a second.
const WAITING: usize = 4_096;

/// Lines that are taken out at once, so that those of one room go in one call.
const AT_A_TIME: usize = 256;

/// How often lines are tried that the log does not take, and the pause between.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// A subject entered a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Entered {
    /// When, in milliseconds since 1970.
    #[schema(example = 1_795_366_362_000_u64)]
    pub at: u64,
    /// Which.
    #[schema(value_type = String, example = "demo")]
    pub room: RoomId,
}

type QueuedLine = (TimelineKey, String);

/// Records what happens in rooms, unless it is off.
#[derive(Default)]
pub struct Recorder {
    queue: Option<Queue>,
}

struct Queue {
    sender: mpsc::Sender<QueuedLine>,
    store: Arc<dyn TimelineStore>,
    metrics: Arc<Metrics>,
}

impl Recorder {
    /// Starts to record what is kept for `age`; with an age of 0 it is off. It ends with `life`, once its queue is empty.
    #[must_use]
    pub fn start(
        store: Arc<dyn TimelineStore>,
        age: Duration,
        metrics: Arc<Metrics>,
        life: &Lifecycle,
    ) -> Self {
        if age.is_zero() {
            return Self::default();
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let writer = Writer { store: store.clone(), age, metrics: metrics.clone() };
        life.tasks.spawn(writer.run(receiver, life.hard.clone()));
        Self { queue: Some(Queue { sender, store, metrics }) }
    }

    /// Records an event of a room. Rooms of dialects have no timeline: a topic may have any number of them in a second.
    pub fn record(&self, room: &RoomId, event: Event) {
        let Some(queue) = self.queue.as_ref().filter(|_| RoomProfile::of(room).is_none()) else {
            return;
        };
        let at = now();
        if let Event::Joined { user: Some(user), resumed: false, .. } = &event
            && let Ok(subject) = Subject::new(user)
        {
            let entered = Entered { at, room: room.clone() };
            queue.push(TimelineKey::Subject(subject), &entered);
        }
        queue.push(TimelineKey::Room(room.clone()), &Line { at, event });
    }

    /// Reads the events of a room in the order of their times, each once.
    ///
    /// # Errors
    /// [`LogError`] if the log does not answer.
    pub async fn room(&self, room: &RoomId) -> Result<Vec<Line>, LogError> {
        let mut lines: Vec<Line> = self.read(&TimelineKey::Room(room.clone())).await?;
        lines.sort_by_key(|line| line.at);
        let mut seen = HashSet::new();
        lines.retain(|line| seen.insert(line.identity()));
        Ok(lines)
    }

    /// Reads when a subject entered which room, oldest first.
    ///
    /// # Errors
    /// [`LogError`] if the log does not answer.
    pub async fn subject(&self, subject: &Subject) -> Result<Vec<Entered>, LogError> {
        self.read(&TimelineKey::Subject(subject.clone())).await
    }

    /// Reads lines; those that another version wrote in another form are left out.
    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        key: &TimelineKey,
    ) -> Result<Vec<T>, LogError> {
        let Some(queue) = &self.queue else { return Ok(Vec::new()) };
        let lines = queue.store.lines(key).await?;
        Ok(lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

impl Queue {
    fn push(&self, key: TimelineKey, line: &impl Serialize) {
        let text = serde_json::to_string(line).expect("texts and numbers serialize");
        if self.sender.try_send((key, text)).is_err() {
            self.metrics.calls.dropped(TimelineDrop::Full, 1);
        }
    }
}

/// Returns the time in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(clock::unix_now().as_millis()).unwrap_or(u64::MAX)
}

/// The task that appends.
struct Writer {
    store: Arc<dyn TimelineStore>,
    age: Duration,
    metrics: Arc<Metrics>,
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<QueuedLine>, end: CancellationToken) {
        let mut taken = Vec::new();
        loop {
            tokio::select! {
                count = queue.recv_many(&mut taken, AT_A_TIME) => if count == 0 { return },
                () = end.cancelled(), if !queue.is_closed() => queue.close(),
            }
            let mut groups: HashMap<TimelineKey, Vec<String>> = HashMap::new();
            for (key, line) in taken.drain(..) {
                groups.entry(key).or_default().push(line);
            }
            let mut appends = Vec::with_capacity(groups.len());
            for (key, lines) in &groups {
                appends.push(self.append(key, lines, &end));
            }
            join_all(appends).await;
        }
    }

    async fn append(&self, key: &TimelineKey, lines: &[String], end: &CancellationToken) {
        for attempt in 1.. {
            let Err(error) = self.store.append(key, lines, self.age).await else { return };
            if attempt == ATTEMPTS || end.is_cancelled() {
                self.metrics.calls.dropped(TimelineDrop::Log, lines.len());
                return debug!(%error, "lines of a timeline were lost: {error}");
            }
            sleep(PAUSE).await;
        }
    }
}
