//! A bounded queue with one reader that owns no more memory than what waits in it.
//!
//! Tokio's channel allocates a block of 32 places for each queue, used or not. A node has two queues for each
//! of its rooms, nearly all of them empty nearly all of the time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

struct State<T> {
    queue: VecDeque<T>,
    closed: bool,
    missed: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    limit: u32,
    senders: AtomicU32,
    filled: AtomicWaker,
    /// Told when there is room again, and when the reader has gone.
    emptied: Notify,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why something was not queued; it comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unsent<T> {
    /// As much waits as may.
    Full(T),
    /// The reader has gone.
    Closed(T),
}

/// An end that puts in.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The end that takes out.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// Makes a queue for at most `limit` things.
pub(crate) fn lazy_queue<T>(limit: u32) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State { queue: VecDeque::new(), closed: false, missed: false }),
        limit,
        senders: AtomicU32::new(1),
        filled: AtomicWaker::new(),
        emptied: Notify::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    /// Puts something in without waiting.
    pub(crate) fn try_send(&self, thing: T) -> Result<(), Unsent<T>> {
        let mut state = self.0.state();
        if state.closed {
            return Err(Unsent::Closed(thing));
        }
        if state.queue.len() >= self.0.limit as usize {
            return Err(Unsent::Full(thing));
        }
        state.queue.push_back(thing);
        drop(state);
        self.0.filled.wake();
        Ok(())
    }

    /// Puts something in, and waits for room if need be; gives it back if the reader has gone.
    pub(crate) async fn send(&self, mut thing: T) -> Result<(), T> {
        loop {
            let emptied = self.0.emptied.notified();
            match self.try_send(thing) {
                Ok(()) => return Ok(()),
                Err(Unsent::Closed(thing)) => return Err(thing),
                Err(Unsent::Full(back)) => thing = back,
            }
            emptied.await;
        }
    }

    /// Tells the reader that something was not put in.
    pub(crate) fn miss(&self) {
        self.0.state().missed = true;
        self.0.filled.wake();
    }

    /// Waits until the reader has gone.
    pub(crate) async fn closed(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.is_closed() {
                return;
            }
            emptied.await;
        }
    }

    /// Tells whether the reader has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.state().closed
    }

    /// Tells whether both lead to the same reader.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.filled.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// Takes the next thing out if there is one now.
    pub(crate) fn try_recv(&mut self) -> Option<T> {
        let mut state = self.0.state();
        let was_full = state.queue.len() >= self.0.limit as usize;
        let thing = state.queue.pop_front()?;
        if state.queue.is_empty() {
            state.queue = VecDeque::new();
        }
        drop(state);
        if was_full {
            self.0.emptied.notify_waiters();
        }
        Some(thing)
    }

    /// Polls for the next thing; `None` when nobody can put anything in any more.
    pub(crate) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(thing) = self.try_recv() {
            return Poll::Ready(Some(thing));
        }
        self.0.filled.register(context.waker());
        let alone = self.0.senders.load(Ordering::Acquire) == 0;
        match self.try_recv() {
            Some(thing) => Poll::Ready(Some(thing)),
            None if alone => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Tells, once, whether something was not put in.
    pub(crate) fn has_missed(&mut self) -> bool {
        std::mem::take(&mut self.0.state().missed)
    }

    /// Tells whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.state().queue.is_empty()
    }

    /// Takes nothing more in; what waits may still be taken out.
    pub(crate) fn close(&mut self) {
        self.0.state().closed = true;
        self.0.emptied.notify_waiters();
    }

    /// Tells whether nothing more is taken in.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.state().closed
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
        // Outside the lock: what waits may own senders of this very queue.
        let left = std::mem::take(&mut self.0.state().queue);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    impl<T> Receiver<T> {
        async fn recv(&mut self) -> Option<T> {
            poll_fn(|context| self.poll_recv(context)).await
        }
    }

    #[tokio::test]
    async fn what_was_put_in_comes_out_in_order() {
        let (sender, mut receiver) = lazy_queue(8);
        let reading = tokio::spawn(async move { (receiver.recv().await, receiver.recv().await) });
        sender.try_send(1).unwrap();
        sender.send(2).await.unwrap();
        assert_eq!(reading.await.unwrap(), (Some(1), Some(2)));
    }

    #[tokio::test]
    async fn more_than_may_wait_is_given_back_or_waits_for_room() {
        let (sender, mut receiver) = lazy_queue(1);
        sender.try_send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(Unsent::Full(2)));
        let waiting = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send(3).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(receiver.recv().await, Some(1));
        waiting.await.unwrap().unwrap();
        assert_eq!(receiver.recv().await, Some(3));
    }

    #[tokio::test]
    async fn a_reader_without_senders_comes_to_an_end() {
        let (sender, mut receiver) = lazy_queue(1);
        sender.try_send(1).unwrap();
        drop(sender);
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some(1), None));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told_when_the_reader_goes() {
        let (sender, receiver) = lazy_queue(1);
        sender.try_send(1).unwrap();
        let waiting = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send(2).await }
        });
        tokio::task::yield_now().await;
        drop(receiver);
        assert_eq!(waiting.await.unwrap(), Err(2));
        sender.closed().await;
        assert_eq!(sender.try_send(3), Err(Unsent::Closed(3)));
    }

    #[test]
    fn an_empty_queue_owns_nothing() {
        let (sender, mut receiver) = lazy_queue(1_024);
        (0..1_000).for_each(|number| sender.try_send(number).unwrap());
        while receiver.try_recv().is_some() {}
        assert_eq!(receiver.0.state().queue.capacity(), 0);
    }
}
