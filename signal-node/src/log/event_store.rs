//! Where events are queued until back ends have them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::LogError;
use super::changed_queues::ChangedQueues;
use super::events::{Claimant, DeadLetter, EndpointId, EventQueue, Position, Progress, Taken};

/// The queues of events, and who attends to them.
pub trait EventStore: Send + Sync + 'static {
    /// Returns the queues that this node has added to, or has seen others add to.
    fn changes(&self) -> Arc<ChangedQueues>;

    /// Says that this node attends to queues for so long; returns until when by the clock of the log.
    fn attend<'a>(
        &'a self,
        queues: &'a [EventQueue],
        time: Duration,
    ) -> BoxFuture<'a, Result<Duration, LogError>>;

    /// Takes over queues that no node attends to any more, for so long; returns until when.
    fn take_over(
        &self,
        limit: usize,
        time: Duration,
    ) -> BoxFuture<'_, Result<(Duration, Vec<EventQueue>), LogError>>;

    /// Forgets a queue that nobody needs to attend to, unless somebody does for longer than `until`.
    fn forget_queue<'a>(
        &'a self,
        queue: &'a EventQueue,
        until: Duration,
    ) -> BoxFuture<'a, Result<(), LogError>>;

    /// Takes the next events for an endpoint, at most `limit` of them.
    fn take<'a>(
        &'a self,
        claimant: Claimant<'a>,
        lease: Duration,
        limit: usize,
    ) -> BoxFuture<'a, Result<Taken, LogError>>;

    /// Stores what came of it, ends the lease, and drops events that all of `endpoints` are past. Tells whether the endpoint
    /// has more to get.
    fn finish<'a>(
        &'a self,
        claimant: Claimant<'a>,
        progress: Progress,
        endpoints: &'a [EndpointId],
    ) -> BoxFuture<'a, Result<bool, LogError>>;

    /// Keeps what could not be delivered.
    fn bury<'a>(&'a self, dead: &'a DeadLetter) -> BoxFuture<'a, Result<(), LogError>>;

    /// Reads dead letters behind `after`, oldest first.
    fn dead_letters(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Position, DeadLetter)>, LogError>>;

    /// Queues a dead letter for its endpoint again; tells whether there is such a one.
    fn replay(&self, position: Position) -> BoxFuture<'_, Result<bool, LogError>>;
}
