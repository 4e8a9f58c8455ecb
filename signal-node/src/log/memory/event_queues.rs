//! The queues of events of one process, the time an argument.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::log::{
    ChangedQueues, Claimant, DeadLetter, EVENTS_PER_QUEUE, EndpointId, EventContent, EventQueue,
    Position, Progress, QueuedEvent, Taken,
};

/// That events are stored, and where.
pub(super) struct Events {
    pub(super) keep: Duration,
    pub(super) attended: Duration,
    pub(super) changed: Arc<ChangedQueues>,
    queues: Mutex<Queues>,
}

/// All queues.
#[derive(Default)]
pub(super) struct Queues {
    map: HashMap<EventQueue, Queue>,
    pub(super) attended: BTreeMap<EventQueue, Duration>,
    pub(super) dead: BTreeMap<Position, DeadLetter>,
    last: Position,
}

/// One queue, and how far each endpoint is.
#[derive(Default)]
struct Queue {
    events: VecDeque<QueuedEvent>,
    deliveries: HashMap<EndpointId, Delivery>,
}

/// What an endpoint has got of a queue. There is one node, so nobody else sends.
#[derive(Clone, Copy, Default)]
struct Delivery {
    position: Position,
    attempts: u32,
    pause_until: Duration,
}

impl Events {
    pub(super) fn new(keep: Duration, attended: Duration) -> Self {
        Self { keep, attended, changed: Arc::default(), queues: Mutex::default() }
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    /// Returns a place behind all before, also where the clock was set back.
    pub(super) fn next_position(&mut self, now: Duration) -> Position {
        let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let Position { at: last_at, n } = self.last;
        self.last =
            if at > last_at { Position { at, n: 0 } } else { Position { at: last_at, n: n + 1 } };
        self.last
    }

    pub(super) fn push(&mut self, queue: &EventQueue, content: EventContent, now: Duration) {
        let position = self.next_position(now);
        let events = &mut self.map.entry(queue.clone()).or_default().events;
        events.push_back(QueuedEvent { position, content });
        if events.len() > EVENTS_PER_QUEUE {
            events.pop_front();
        }
    }

    pub(super) fn take(&mut self, claimant: Claimant<'_>, limit: usize, now: Duration) -> Taken {
        let Some(queue) = self.map.get(claimant.queue) else { return Taken::Nothing };
        let delivery = queue.deliveries.get(claimant.endpoint).copied().unwrap_or_default();
        if now < delivery.pause_until {
            return Taken::Later(delivery.pause_until.saturating_sub(now));
        }
        let events = queue.events.iter().filter(|event| event.position > delivery.position);
        let events: Vec<_> = events.take(limit).cloned().collect();
        if events.is_empty() {
            return Taken::Nothing;
        }
        Taken::Events { attempts: delivery.attempts, events }
    }

    pub(super) fn finish(
        &mut self,
        claimant: Claimant<'_>,
        progress: Progress,
        endpoints: &[EndpointId],
        now: Duration,
    ) -> bool {
        let Some(queue) = self.map.get_mut(claimant.queue) else { return false };
        let delivery = queue.deliveries.entry(claimant.endpoint.clone()).or_default();
        delivery.position = delivery.position.max(progress.position.unwrap_or_default());
        (delivery.attempts, delivery.pause_until) = (progress.attempts, now + progress.pause);
        let own = delivery.position;
        let of = |endpoint| queue.deliveries.get(endpoint).copied().unwrap_or_default().position;
        let first = endpoints.iter().map(of).min().unwrap_or(own);
        queue.events.retain(|event| event.position > first);
        let more = queue.events.back().is_some_and(|event| event.position > own);
        if queue.events.is_empty() {
            self.map.remove(claimant.queue);
        }
        more
    }

    pub(super) fn take_over(
        &mut self,
        limit: usize,
        until: Duration,
        now: Duration,
    ) -> Vec<EventQueue> {
        let due = self.attended.iter_mut().filter(|(_, attended)| **attended <= now);
        let due = due.take(limit).map(|(queue, attended)| {
            *attended = until;
            queue.clone()
        });
        due.collect()
    }

    /// Drops events from before that moment, in milliseconds since 1970.
    pub(super) fn trim(&mut self, oldest: u64) {
        self.map.retain(|_, queue| {
            queue.events.retain(|event| event.position.at >= oldest);
            !queue.events.is_empty()
        });
    }
}
