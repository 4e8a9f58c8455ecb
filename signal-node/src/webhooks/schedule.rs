//! Which queue is sent to which endpoint next: a pure state machine, the time an argument.
//!
//! Endpoints know nothing of each other, so one that is slow or down delays no other. Of a queue one batch is under way to an
//! endpoint at a time, which keeps the order. While an endpoint fails, one attempt at a time is made, with pauses.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use crate::log::EventQueue;

/// Batches that are under way to one endpoint at once.
const AT_ONCE: usize = 8;

/// Something to send: the number of the endpoint, and what queue.
pub(super) type Job = (usize, EventQueue);

/// What came of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finished {
    /// There is nothing more.
    Empty,
    /// There may be more.
    More,
    /// The queue is to be looked at again after that: another node sends, or the log did not answer.
    Later(Duration),
    /// An attempt failed.
    Failed {
        /// How long the queue waits.
        pause: Duration,
        /// What that says of the endpoint.
        endpoint: EndpointFailure,
    },
}

/// What a failed attempt says of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndpointFailure {
    /// The endpoint answers, and refused this message.
    Message,
    /// The endpoint does not answer as one that works.
    Endpoint,
    /// The endpoint asks for a pause.
    Pause(Duration),
}

/// How a queue is for an endpoint; one that is not listed has nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QueueState {
    Ready,
    /// Looked at again then.
    Waiting(Instant),
    /// After a failed attempt: a change brings nothing forward.
    Paused(Instant),
    InFlight {
        /// Whether the queue has changed meanwhile.
        changed: bool,
    },
}

#[derive(Default)]
struct EndpointQueues {
    states: HashMap<EventQueue, (QueueState, Instant)>,
    ready: VecDeque<EventQueue>,
    timers: BTreeSet<(Instant, EventQueue)>,
    in_flight: usize,
    failed: u32,
    paused_until: Option<Instant>,
}

/// What is to be sent.
pub(super) struct Schedule {
    endpoints: Vec<EndpointQueues>,
    backoff: Backoff,
}

impl Schedule {
    pub(super) fn new(endpoints: usize, backoff: Backoff) -> Self {
        Self { endpoints: (0..endpoints).map(|_| EndpointQueues::default()).collect(), backoff }
    }

    /// Notes that a queue may have something for every endpoint, to be looked at from `at` on.
    pub(super) fn changed(&mut self, queue: &EventQueue, at: Instant, now: Instant) {
        for endpoint in &mut self.endpoints {
            endpoint.changed(queue, at, now);
        }
    }

    /// Notes what came of a job.
    pub(super) fn finished(&mut self, (endpoint, queue): &Job, result: Finished, now: Instant) {
        let backoff = self.backoff;
        if let Some(endpoint) = self.endpoints.get_mut(*endpoint) {
            endpoint.finished(queue, result, backoff, now);
        }
    }

    /// Takes out the next job, if one may begin now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Job> {
        let mut endpoints = self.endpoints.iter_mut().enumerate();
        endpoints.find_map(|(number, endpoint)| Some((number, endpoint.next(now)?)))
    }

    /// Returns when something becomes due by itself.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.endpoints.iter().filter_map(EndpointQueues::next_due).min()
    }

    /// Returns the queues that have something for some endpoint.
    pub(super) fn queues(&self) -> impl Iterator<Item = &EventQueue> {
        self.endpoints.iter().flat_map(|endpoint| endpoint.states.keys())
    }

    /// Returns since when the queue that waits for longest has had something.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let endpoints = self.endpoints.iter();
        endpoints.flat_map(|endpoint| endpoint.states.values()).map(|(_, since)| *since).min()
    }
}

impl EndpointQueues {
    fn changed(&mut self, queue: &EventQueue, at: Instant, now: Instant) {
        match self.states.get(queue).map(|(state, _)| *state) {
            None => self.wait(queue, QueueState::Waiting(at), now),
            Some(QueueState::Waiting(before)) if at < before => {
                self.timers.remove(&(before, queue.clone()));
                self.wait(queue, QueueState::Waiting(at), now);
            }
            Some(QueueState::InFlight { .. }) => {
                self.set(queue, QueueState::InFlight { changed: true }, now);
            }
            Some(QueueState::Ready | QueueState::Waiting(_) | QueueState::Paused(_)) => {}
        }
    }

    /// Sets the state, and keeps since when the queue has had something.
    fn set(&mut self, queue: &EventQueue, state: QueueState, now: Instant) {
        self.states.entry(queue.clone()).or_insert((state, now)).0 = state;
    }

    fn wait(&mut self, queue: &EventQueue, state: QueueState, now: Instant) {
        let (QueueState::Waiting(at) | QueueState::Paused(at)) = state else { return };
        self.set(queue, state, now);
        self.timers.insert((at, queue.clone()));
    }

    fn make_ready(&mut self, queue: EventQueue, now: Instant) {
        self.set(&queue, QueueState::Ready, now);
        self.ready.push_back(queue);
    }

    fn finished(&mut self, queue: &EventQueue, result: Finished, backoff: Backoff, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let has_changed =
            matches!(self.states.get(queue), Some((QueueState::InFlight { changed: true }, _)));
        match result {
            Finished::Empty if has_changed => self.succeeded(Some(queue), now),
            Finished::More => self.succeeded(Some(queue), now),
            Finished::Empty => {
                self.states.remove(queue);
                self.succeeded(None, now);
            }
            Finished::Later(after) => self.wait(queue, QueueState::Waiting(now + after), now),
            Finished::Failed { pause, endpoint } => {
                self.wait(queue, QueueState::Paused(now + pause), now);
                self.failed(endpoint, backoff, now);
            }
        }
    }

    fn succeeded(&mut self, again: Option<&EventQueue>, now: Instant) {
        (self.failed, self.paused_until) = (0, None);
        if let Some(queue) = again {
            self.make_ready(queue.clone(), now);
        }
    }

    fn failed(&mut self, failure: EndpointFailure, backoff: Backoff, now: Instant) {
        let pause = match failure {
            EndpointFailure::Message => return,
            EndpointFailure::Endpoint => {
                self.failed = self.failed.saturating_add(1);
                backoff.of_endpoint(self.failed)
            }
            EndpointFailure::Pause(pause) => {
                self.failed = self.failed.max(1);
                pause
            }
        };
        self.paused_until = self.paused_until.max(Some(now + pause));
    }

    fn next(&mut self, now: Instant) -> Option<EventQueue> {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
            && let Some((_, queue)) = self.timers.pop_first()
        {
            self.make_ready(queue, now);
        }
        let at_once = if self.failed == 0 { AT_ONCE } else { 1 };
        if self.in_flight >= at_once || self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        let queue = self.ready.pop_front()?;
        self.set(&queue, QueueState::InFlight { changed: false }, now);
        self.in_flight += 1;
        Some(queue)
    }

    fn next_due(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let resumed = self.paused_until.filter(|_| !self.ready.is_empty());
        timer.into_iter().chain(resumed).min()
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
