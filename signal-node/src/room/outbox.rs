//! The unsent frames of one socket: bounded by bytes and number, and never waited for by a room.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use service_kit::trace::Span;
use signal_protocol::{CallId, LeftReason, RoomId, Subject};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::wakeups::{Wakeup, Wakeups};
use crate::send_budget::SendBudget;

/// Bytes that a queued frame takes beside its text.
const OVERHEAD: usize = 64;

/// Frames that may wait, however short they are.
const FRAMES: usize = 8_192;

/// One frame, and what it means for the session of its socket.
#[derive(Debug)]
pub struct Delivery {
    /// The text frame.
    pub frame: Bytes,
    /// What the session notes once the frame is written.
    pub event: Option<FrameEvent>,
}

/// What a frame means for the session beside its text. It travels with the frame, so a session learns of the end of a
/// membership neither before nor after its client.
#[derive(Clone, Debug, PartialEq)]
pub enum FrameEvent {
    /// The join took effect.
    Joined(RoomId),
    /// The join was refused.
    Refused(RoomId),
    /// The member left by itself.
    Left(RoomId),
    /// The membership was ended from outside.
    Ended(RoomId, LeftReason),
    /// The room cannot replay what the member missed: the session closes with 4003, and the client resumes.
    Lost(RoomId),
    /// The user is watched no more.
    Unwatched(Subject),
    /// This call rings, and its caller.
    Rings(Box<(CallId, Subject)>),
    /// This call is over, for the socket at least.
    CallOver(CallId),
    /// The frame is one of the client's dialect already, and goes to it as it is.
    ForClient,
    /// The frame is traced until the socket has taken it.
    Traced(Box<Span>),
}

impl FrameEvent {
    /// Returns the room of a change of membership.
    #[must_use]
    pub fn room(&self) -> Option<&RoomId> {
        match self {
            Self::Joined(room)
            | Self::Refused(room)
            | Self::Left(room)
            | Self::Ended(room, _)
            | Self::Lost(room) => Some(room),
            Self::Unwatched(_)
            | Self::Rings(_)
            | Self::CallOver(_)
            | Self::ForClient
            | Self::Traced(_) => None,
        }
    }
}

impl From<String> for Delivery {
    fn from(frame: String) -> Self {
        Self { frame: frame.into(), event: None }
    }
}

impl From<Bytes> for Delivery {
    fn from(frame: Bytes) -> Self {
        Self { frame, event: None }
    }
}

impl Delivery {
    /// Attaches an event to the frame.
    #[must_use]
    pub fn with_event(self, event: FrameEvent) -> Self {
        Self { event: Some(event), ..self }
    }
}

/// What became of a pushed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It waits to be written.
    Queued,
    /// The queue is over its bound: the session will be closed as a slow consumer.
    Overflowing,
    /// The session is over.
    Gone,
}

/// The queue went over a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Too many bytes were waiting.
    Bytes,
    /// Too many frames were waiting.
    Frames,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Open,
    Overflowed(Overflow),
    Closed,
}

/// Returns how many bytes a queued frame counts as.
fn weight(delivery: &Delivery) -> u32 {
    u32::try_from(delivery.frame.len() + OVERHEAD).unwrap_or(u32::MAX)
}

struct State {
    queue: VecDeque<Delivery>,
    bytes: u32,
    condition: Condition,
    wakeups: Wakeups,
}

impl State {
    fn empty(condition: Condition) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, condition, wakeups: Wakeups::default() }
    }

    fn queue(&mut self, delivery: Delivery, limit: u32) -> Enqueued {
        let bytes = self.bytes.saturating_add(weight(&delivery));
        let overflow = if bytes > limit { Overflow::Bytes } else { Overflow::Frames };
        if bytes > limit || self.queue.len() >= FRAMES {
            *self = Self { wakeups: self.wakeups, ..Self::empty(Condition::Overflowed(overflow)) };
            return Enqueued::Overflowing;
        }
        self.bytes = bytes;
        self.queue.push_back(delivery);
        Enqueued::Queued
    }

    fn is_light(&self, limit: u32) -> bool {
        self.bytes <= limit / 4 && self.queue.len() <= FRAMES / 4
    }
}

/// The queue between the rooms of a session and its socket, and the one thing that wakes the session.
pub struct Outbox {
    state: Mutex<State>,
    filled: AtomicWaker,
    emptied: Notify,
    limit: u32,
    /// What whoever holds the socket may have sent; made when it first says something.
    budget: OnceLock<Arc<SendBudget>>,
}

impl Outbox {
    /// Makes one that holds at most `limit` bytes, of which there are less than 4 GiB.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX - 1);
        Self {
            state: Mutex::new(State::empty(Condition::Open)),
            filled: AtomicWaker::new(),
            emptied: Notify::new(),
            limit,
            budget: OnceLock::new(),
        }
    }

    /// Has the socket use a budget that others may use as well, or have used.
    pub fn share_budget(&self, budget: impl FnOnce() -> Arc<SendBudget>) {
        self.budget.get_or_init(budget);
    }

    /// Returns the budget, if the socket has needed one.
    pub fn used_budget(&self) -> Option<Arc<SendBudget>> {
        self.budget.get().cloned()
    }

    /// Returns the budget of whoever holds the socket: its subject's, or its own.
    pub fn budget(&self, now: Instant) -> &SendBudget {
        self.budget.get_or_init(|| Arc::new(SendBudget::new(now)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame without waiting, so that one slow peer never delays a room.
    pub fn push(&self, delivery: impl Into<Delivery>) -> Enqueued {
        let delivery = delivery.into();
        let mut state = self.state();
        match state.condition {
            Condition::Closed => return Enqueued::Gone,
            Condition::Overflowed(_) => return Enqueued::Overflowing,
            Condition::Open => {}
        }
        let handed = state.queue(delivery, self.limit);
        drop(state);
        self.filled.wake();
        handed
    }

    /// Wakes the session for something else than a frame.
    pub fn wake(&self, wakeup: Wakeup) {
        self.state().wakeups.add(wakeup);
        self.filled.wake();
    }

    /// Takes out what the session was woken for.
    #[must_use]
    pub fn take_wakeups(&self) -> Wakeups {
        std::mem::take(&mut self.state().wakeups)
    }

    /// Takes the next frame, if there is one now.
    ///
    /// # Errors
    /// [`Overflow`] once the queue went over a bound.
    pub fn pop(&self) -> Result<Option<Delivery>, Overflow> {
        let mut state = self.state();
        if let Condition::Overflowed(overflow) = state.condition {
            return Err(overflow);
        }
        let taken = state.queue.pop_front();
        if let Some(delivery) = &taken {
            state.bytes -= weight(delivery);
        } else {
            // An idle session owns no queue.
            state.queue = VecDeque::new();
        }
        if state.is_light(self.limit) {
            self.emptied.notify_waiters();
        }
        Ok(taken)
    }

    /// Tells whether so little is queued that more of what was missed may follow.
    #[must_use]
    pub fn is_light(&self) -> bool {
        self.state().is_light(self.limit)
    }

    /// Waits until it is light, or there is nobody to read it. Cancel-safe.
    pub async fn emptied(&self) {
        loop {
            let waiting = self.emptied.notified();
            if self.is_light() {
                return;
            }
            waiting.await;
        }
    }

    /// Waits until there is something to take, an overflow to report, or a wakeup. Cancel-safe; for one session.
    pub fn filled(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            if self.has_news() {
                return Poll::Ready(());
            }
            self.filled.register(context.waker());
            if self.has_news() { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    /// Tells whether frames wait.
    #[must_use]
    pub fn has_frames(&self) -> bool {
        !self.state().queue.is_empty()
    }

    fn has_news(&self) -> bool {
        let state = self.state();
        let is_quiet = state.queue.is_empty() && state.wakeups == Wakeups::default();
        !is_quiet || state.condition != Condition::Open
    }

    /// Ends the queue: whatever is handed from now on is gone.
    pub fn close(&self) {
        *self.state() = State::empty(Condition::Closed);
        self.emptied.notify_waiters();
    }

    /// Tells whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().condition == Condition::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_in_order_with_their_marks() {
        let outbox = Outbox::new(1_000);
        let room: RoomId = "demo".parse().unwrap();
        outbox.push("a".to_owned());
        outbox.push(Delivery::from("b".to_owned()).with_event(FrameEvent::Joined(room.clone())));
        assert_eq!(outbox.pop().unwrap().unwrap().frame, "a");
        assert_eq!(outbox.pop().unwrap().unwrap().event, Some(FrameEvent::Joined(room)));
        assert!(outbox.pop().unwrap().is_none());
    }

    #[test]
    fn more_than_the_bound_is_an_overflow_and_frees_the_memory() {
        let outbox = Outbox::new(200);
        assert_eq!(outbox.push("x".repeat(100)), Enqueued::Queued);
        assert_eq!(outbox.push("x".repeat(100)), Enqueued::Overflowing);
        assert_eq!(outbox.pop().unwrap_err(), Overflow::Bytes);
        assert_eq!(outbox.push("x".to_owned()), Enqueued::Overflowing);
    }

    #[test]
    fn frames_are_counted_too() {
        let outbox = Outbox::new(usize::MAX);
        for _ in 0..FRAMES {
            assert_eq!(outbox.push(String::new()), Enqueued::Queued);
        }
        assert_eq!(outbox.push(String::new()), Enqueued::Overflowing);
        assert_eq!(outbox.pop().unwrap_err(), Overflow::Frames);
    }

    #[test]
    fn nothing_is_queued_for_a_session_that_is_over() {
        let outbox = Outbox::new(200);
        outbox.close();
        assert_eq!(outbox.push("x".to_owned()), Enqueued::Gone);
    }

    #[tokio::test]
    async fn a_waiting_session_is_woken() {
        let outbox = std::sync::Arc::new(Outbox::new(200));
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.filled().await }
        });
        outbox.push("x".to_owned());
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_nudge_wakes_a_session_and_is_told_once() {
        let outbox = Outbox::new(200);
        outbox.wake(Wakeup::Tick);
        outbox.wake(Wakeup::Stop);
        outbox.filled().await;
        let wakeups = outbox.take_wakeups();
        assert!(
            wakeups.has(Wakeup::Tick) && wakeups.has(Wakeup::Stop) && !wakeups.has(Wakeup::CutOff)
        );
        assert_eq!(outbox.take_wakeups(), Wakeups::default());
    }
}
