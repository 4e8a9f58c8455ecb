//! The events of one room on their way to the application.
//!
//! A queue that is full drops volatile signals, and has the driver stop reading from the sockets: a node then closes the
//! connection of a client that does not read (4002), and the client comes back to what it missed. So a slow application
//! costs neither memory nor an event.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::core::RoomEvent;

/// Events that wait before nothing more is read: some windows of messages, and less than a second's work.
const MOST_EVENTS: usize = 1_024;

#[derive(Default)]
struct State {
    events: VecDeque<RoomEvent>,
    /// Whether the last event is in the queue.
    has_ended: bool,
    /// Whether nobody reads any more.
    is_abandoned: bool,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enqueued {
    Queued,
    /// Nobody reads any more.
    Abandoned,
}

pub(crate) struct EventQueue {
    state: Mutex<State>,
    arrived: Notify,
    /// Tells the driver that a queue which was full has space.
    space: Arc<Notify>,
}

impl EventQueue {
    pub(crate) fn new(space: Arc<Notify>) -> Self {
        Self { state: Mutex::default(), arrived: Notify::new(), space }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an event without waiting.
    pub(crate) fn push(&self, event: RoomEvent) -> Enqueued {
        let mut state = self.state();
        if state.is_abandoned {
            return Enqueued::Abandoned;
        }
        state.has_ended |= matches!(event, RoomEvent::Left(_));
        let may_be_lost = matches!(event, RoomEvent::Volatile { .. });
        if !may_be_lost || state.events.len() < MOST_EVENTS {
            state.events.push_back(event);
            self.arrived.notify_one();
        }
        Enqueued::Queued
    }

    /// Whether nothing more is to be read from the sockets.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.state();
        !state.is_abandoned && state.events.len() >= MOST_EVENTS
    }

    /// The application does not read any more.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.is_abandoned = true;
        state.events.clear();
        self.space.notify_one();
    }

    /// Waits for the next event; `None` after the last one. May be dropped at any point without losing an event.
    pub(crate) async fn next(&self) -> Option<RoomEvent> {
        loop {
            match self.try_next() {
                Some(event) => return Some(event),
                None if self.state().has_ended => return None,
                None => self.arrived.notified().await,
            }
        }
    }

    fn try_next(&self) -> Option<RoomEvent> {
        let mut state = self.state();
        let event = state.events.pop_front();
        if state.events.len() + 1 == MOST_EVENTS && event.is_some() {
            self.space.notify_one();
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Payload, Sender};

    fn queue() -> EventQueue {
        EventQueue::new(Arc::default())
    }

    #[tokio::test]
    async fn an_event_that_comes_after_a_wait_was_dropped_is_not_lost() {
        let queue = queue();
        tokio::select! {
            biased;
            _ = queue.next() => panic!("there is no event"),
            () = std::future::ready(()) => {}
        }
        queue.push(RoomEvent::Away);
        assert_eq!(queue.next().await, Some(RoomEvent::Away));
    }

    #[tokio::test]
    async fn nothing_follows_the_last_event() {
        let queue = queue();
        queue.push(RoomEvent::Left(crate::core::LeftBecause::Left));
        assert!(queue.next().await.is_some());
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test]
    async fn a_full_queue_drops_what_is_volatile_and_tells_when_there_is_space() {
        let queue = queue();
        (0..MOST_EVENTS).for_each(|_| assert_eq!(queue.push(RoomEvent::Away), Enqueued::Queued));
        assert!(queue.is_full());
        let (from, data) = (Sender::Server, Payload::default());
        queue.push(RoomEvent::Volatile { from, addressed: false, data });
        queue.push(RoomEvent::Expired);
        queue.next().await;
        assert!(queue.is_full(), "one more than fits was not volatile");
        queue.next().await;
        queue.space.notified().await;
        assert!(!queue.is_full());
        for _ in 2..MOST_EVENTS {
            assert_eq!(queue.next().await, Some(RoomEvent::Away));
        }
        assert_eq!(queue.next().await, Some(RoomEvent::Expired));
    }

    #[tokio::test]
    async fn an_abandoned_queue_holds_nothing_up() {
        let queue = queue();
        (0..MOST_EVENTS).for_each(|_| assert_eq!(queue.push(RoomEvent::Away), Enqueued::Queued));
        queue.abandon();
        assert!(!queue.is_full());
        assert_eq!(queue.push(RoomEvent::Away), Enqueued::Abandoned);
    }
}
