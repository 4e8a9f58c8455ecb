//! The bounded queue from a log to the task of one room. What does not fit is reported as a gap.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::entry::{Batch, Volatile};
use crate::lazy_queue::{Receiver, Sender, Unsent, lazy_queue};

/// Batches that may wait for the task of a room. It reads what did not fit from the log.
const CAPACITY: u32 = 256;

/// An event of a room.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub enum FeedEvent {
    Batch(Arc<Batch>),
    /// Volatile signals, which have no place in the order.
    Volatile(Arc<[Volatile]>),
    /// Something may have been missed: compare with the log.
    Gap,
}

/// The log's end. It never waits, since one Redis read loop serves every room.
#[derive(Clone)]
pub struct FeedSender {
    queue: Sender<FeedEvent>,
}

/// The end of the room's task.
pub struct Feed {
    queue: Receiver<FeedEvent>,
    /// Called when the feed is dropped.
    end: Option<Box<dyn FnOnce() + Send>>,
}

/// Makes both ends.
#[must_use]
pub fn feed() -> (FeedSender, Feed) {
    let (sender, receiver) = lazy_queue(CAPACITY);
    (FeedSender { queue: sender }, Feed { queue: receiver, end: None })
}

impl FeedSender {
    /// Queues an event, or notes a gap if the queue is full.
    pub fn push(&self, event: FeedEvent) {
        if let Err(Unsent::Full(_)) = self.queue.try_send(event) {
            self.miss();
        }
    }

    /// Notes a gap, which the reader sees after the queued events.
    pub fn miss(&self) {
        self.queue.miss();
    }

    /// Waits until the feed is dropped.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Tells whether both belong to the same feed.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.queue.same(&other.queue)
    }

    /// Tells whether the feed was dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

impl Feed {
    /// Calls `end` when the feed is dropped.
    #[must_use]
    pub fn at_end(mut self, end: impl FnOnce() + Send + 'static) -> Self {
        self.end = Some(Box::new(end));
        self
    }

    /// Waits for the next event; `None` when the log has closed the feed. Cancel-safe.
    pub async fn next(&mut self) -> Option<FeedEvent> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Polls for the next event, as [`Feed::next`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<FeedEvent>> {
        match self.queue.poll_recv(context) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(event)),
            Poll::Ready(None) | Poll::Pending if self.queue.has_missed() => {
                Poll::Ready(Some(FeedEvent::Gap))
            }
            nothing @ (Poll::Ready(None) | Poll::Pending) => nothing,
        }
    }

    /// Takes the next event if one is queued.
    pub fn next_now(&mut self) -> Option<FeedEvent> {
        self.queue.try_recv()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(end) = self.end.take() {
            end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_is_told_as_a_gap_after_what_fitted() {
        let (sender, mut feed) = feed();
        for _ in 0..=CAPACITY {
            sender.push(FeedEvent::Gap);
        }
        for _ in 0..CAPACITY {
            assert!(feed.next_now().is_some());
        }
        assert!(matches!(feed.next().await, Some(FeedEvent::Gap)));
        drop(sender);
        assert!(feed.next().await.is_none());
    }
}
