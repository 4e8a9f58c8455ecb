//! A log whose calls are timed, for `signal_log_call_seconds`.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use signal_protocol::{RoomId, Seq};
use tokio::time::Instant;

use crate::log::{Batch, Feed, LogError, Op, Outcome, RoomLog, Volatile};
use crate::metrics::{LogCall, Metrics};

/// Passes every call on to a log, and observes how long the answer took. An error counts like an answer: a log that
/// lets calls run into their time limit is slow.
pub struct TimedLog {
    log: Arc<dyn RoomLog>,
    metrics: Arc<Metrics>,
}

impl TimedLog {
    /// Times the calls to `log`.
    #[must_use]
    pub fn new(log: Arc<dyn RoomLog>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { log, metrics })
    }

    fn time<'a, T: Send>(
        &'a self,
        kind: LogCall,
        answer: impl Future<Output = T> + Send + 'a,
    ) -> BoxFuture<'a, T> {
        let began = Instant::now();
        Box::pin(async move {
            let answer = answer.await;
            self.metrics.log_call(kind, began.elapsed());
            answer
        })
    }
}

impl RoomLog for TimedLog {
    fn open(&self, room: &RoomId) -> BoxFuture<'_, Result<Feed, LogError>> {
        self.time(LogCall::Subscribe, self.log.open(room))
    }

    fn call<'a>(
        &'a self,
        room: &'a RoomId,
        seen: Seq,
        ops: &'a [Op],
    ) -> BoxFuture<'a, Result<Vec<Outcome>, LogError>> {
        let only_signals = ops.iter().all(|op| matches!(op, Op::Signal { .. }));
        let kind = if only_signals { LogCall::Signals } else { LogCall::Steps };
        self.time(kind, self.log.call(room, seen, ops))
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Batch>, LogError>> {
        self.time(LogCall::Read, self.log.read(room, after, limit))
    }

    fn publish_volatile<'a>(
        &'a self,
        room: &'a RoomId,
        volatiles: &'a [Volatile],
    ) -> BoxFuture<'a, Result<(), LogError>> {
        self.time(LogCall::Publish, self.log.publish_volatile(room, volatiles))
    }
}
