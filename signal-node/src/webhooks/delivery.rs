//! One batch of a queue, sent to one endpoint.

use std::sync::Arc;
use std::time::Duration;

use service_kit::clock;
use signal_protocol::NodeId;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::backoff::Backoff;
use super::endpoint::{AttemptError, Endpoint};
use super::message::{self, EventType};
use super::schedule::{EndpointFailure, Finished, Job};
use crate::log::{
    Claimant, DeadLetter, EndpointId, EventContent, EventQueue, EventStore, Letter, LogError,
    Progress, QueuedEvent, Taken,
};
use crate::metrics::{Metrics, WebhookOutcome};

/// Events that are taken at once. When the node dies, as many may be sent again.
const AT_A_TIME: usize = 16;

/// Pause after the log did not answer.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What every batch needs.
pub(super) struct Delivery {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) endpoint_ids: Vec<EndpointId>,
    pub(super) node: NodeId,
    pub(super) events: Vec<EventType>,
    pub(super) backoff: Backoff,
    pub(super) timeout: Duration,
    /// How long a batch is sent, but for the last message.
    pub(super) batch: Duration,
    pub(super) give_up: Duration,
    pub(super) metrics: Arc<Metrics>,
}

/// What came of an attempt, and what a failed one says of the endpoint.
#[derive(Clone, Copy)]
enum Attempt {
    Delivered,
    /// It is to be tried again.
    Failed(EndpointFailure),
    /// It is kept as a dead letter.
    GivenUp(EndpointFailure),
}

/// What came of a batch so far.
struct Batch {
    progress: Progress,
    failed: Option<EndpointFailure>,
}

impl Delivery {
    /// Sends what is next.
    pub(super) async fn run(&self, (number, queue): &Job) -> Finished {
        let endpoint = &self.endpoints[*number];
        let claimant = Claimant { queue, endpoint: &endpoint.id, node: &self.node };
        let lease = self.batch + 2 * self.timeout;
        match self.store.take(claimant, lease, AT_A_TIME).await {
            Ok(Taken::Nothing) => Finished::Empty,
            Ok(Taken::Later(after)) => Finished::Later(after),
            Ok(Taken::Events { attempts, events }) => {
                let batch = self.send(endpoint, queue, &events, attempts).await;
                self.finish(claimant, batch).await
            }
            Err(error) => log_failed(&error),
        }
    }

    async fn finish(&self, claimant: Claimant<'_>, batch: Batch) -> Finished {
        let Batch { progress, failed } = batch;
        let finished = self.store.finish(claimant, progress, &self.endpoint_ids).await;
        match (finished, failed) {
            (_, Some(endpoint)) => Finished::Failed { pause: progress.pause, endpoint },
            (Ok(true), None) => Finished::More,
            (Ok(false), None) => Finished::Empty,
            (Err(error), None) => log_failed(&error),
        }
    }

    /// Sends events in their order, up to the first that fails or for as long as the lease is good for.
    async fn send(
        &self,
        endpoint: &Endpoint,
        queue: &EventQueue,
        events: &[QueuedEvent],
        attempts: u32,
    ) -> Batch {
        let began = Instant::now();
        let mut progress = Progress { position: None, attempts, pause: Duration::ZERO };
        for event in events {
            if began.elapsed() > self.batch {
                break;
            }
            let Some(letter) = self.letter(endpoint, queue, event) else {
                progress.position = Some(event.position);
                continue;
            };
            let attempt = self.attempt(endpoint, event, letter, progress.attempts).await;
            let failed = self.note(event, attempt, &mut progress);
            if failed.is_some() {
                return Batch { progress, failed };
            }
        }
        Batch { progress, failed: None }
    }

    /// Notes what came of an attempt; returns what a failed one says of the endpoint.
    fn note(
        &self,
        event: &QueuedEvent,
        attempt: Attempt,
        progress: &mut Progress,
    ) -> Option<EndpointFailure> {
        if let Attempt::Failed(failed) = attempt {
            progress.attempts = progress.attempts.saturating_add(1);
            let [spread] = service_kit::random::bytes();
            progress.pause = self.backoff.of_queue(progress.attempts, spread);
            if let EndpointFailure::Pause(asked) = failed {
                progress.pause = progress.pause.max(asked);
            }
            return Some(failed);
        }
        progress.position = Some(event.position);
        progress.attempts = 0;
        if let Attempt::GivenUp(failed) = attempt { Some(failed) } else { None }
    }

    /// Makes the message of an event; `None`: this endpoint does not get it.
    fn letter(
        &self,
        endpoint: &Endpoint,
        queue: &EventQueue,
        event: &QueuedEvent,
    ) -> Option<Letter> {
        match (&event.content, queue) {
            (EventContent::Replay(letter), _) if letter.endpoint == endpoint.id => {
                Some(Letter::clone(letter))
            }
            (EventContent::Event(told), EventQueue::Room(room))
                if self.events.contains(&EventType::of(told)) =>
            {
                let endpoint = endpoint.id.clone();
                let id = message::id(queue, event.position);
                Some(Letter { endpoint, id, body: message::body(room, told, event.position.at) })
            }
            (EventContent::Replay(_) | EventContent::Event(_) | EventContent::Unknown, _) => None,
        }
    }

    /// Sends one message, or gives it up.
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        event: &QueuedEvent,
        letter: Letter,
        attempts: u32,
    ) -> Attempt {
        let Err(error) = endpoint.post(&letter).await else {
            self.metrics.webhooks.count(WebhookOutcome::Delivered);
            if attempts > 0 {
                let origin = &endpoint.origin;
                info!(
                    endpoint = origin,
                    attempts,
                    "a webhook to {origin} was delivered after {attempts} failed attempts"
                );
            }
            return Attempt::Delivered;
        };
        self.metrics.webhooks.count(WebhookOutcome::Failed);
        report(endpoint, &error, attempts);
        let failed = error.of_endpoint();
        let stored = Duration::from_millis(event.position.at);
        if clock::unix_now().saturating_sub(stored) < self.give_up {
            return Attempt::Failed(failed);
        }
        match self.bury(endpoint, letter, &error).await {
            Ok(()) => Attempt::GivenUp(failed),
            Err(_) => Attempt::Failed(failed),
        }
    }

    async fn bury(
        &self,
        endpoint: &Endpoint,
        letter: Letter,
        failed: &AttemptError,
    ) -> Result<(), LogError> {
        let at = u64::try_from(clock::unix_now().as_millis()).unwrap_or(u64::MAX);
        let dead = DeadLetter { letter, at, error: failed.to_string() };
        self.store.bury(&dead).await?;
        self.metrics.webhooks.count(WebhookOutcome::Dead);
        let origin = &endpoint.origin;
        error!(
            endpoint = origin,
            id = dead.letter.id,
            "a webhook to {origin} is given up and kept as a dead letter: {failed}"
        );
        Ok(())
    }
}

/// Logs the first failure of a message; the alert is for those that last.
fn report(endpoint: &Endpoint, error: &AttemptError, attempts: u32) {
    let origin = &endpoint.origin;
    if attempts == 0 {
        warn!(endpoint = origin, %error, "a webhook to {origin} failed and is tried again: {error}");
    } else {
        debug!(endpoint = origin, attempts, %error, "a webhook to {origin} failed again: {error}");
    }
}

fn log_failed(error: &LogError) -> Finished {
    debug!(%error, "the queue of events could not be read or written: {error}");
    Finished::Later(LOG_AGAIN_AFTER)
}
