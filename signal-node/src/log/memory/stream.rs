//! What a room in memory keeps of its past.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use signal_protocol::{Recovery, Seq};

use crate::log::{
    Batch, CLOCK_BEHIND, Entry, PASSED_OVER, PASSED_OVER_BY_CLOCK, Retention, RoomEvent,
};

/// The kept batches with the time they were appended, and what they amount to.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    batches: VecDeque<(Duration, Arc<Batch>)>,
    entries: usize,
    bytes: usize,
}

impl Stream {
    pub(super) fn push(&mut self, now: Duration, batch: Arc<Batch>) {
        self.entries += batch.entries.len();
        self.bytes += batch.bytes();
        self.batches.push_back((now, batch));
    }

    pub(super) fn trim(&mut self, now: Duration, retention: &Retention) {
        while let Some((at, batch)) = self.batches.front() {
            let old = *at + retention.age < now;
            if !old && self.entries <= retention.length && self.bytes <= retention.bytes {
                return;
            }
            self.entries -= batch.entries.len();
            self.bytes -= batch.bytes();
            self.batches.pop_front();
        }
    }

    /// Returns the kept batches that end after `after`.
    pub(super) fn read(&self, after: Seq, limit: usize) -> Vec<Batch> {
        let later = self.batches.iter().filter(|(_, batch)| batch.last() > after);
        later.take(limit).map(|(_, batch)| Batch::clone(batch)).collect()
    }

    /// Tells whether everything between `position` and `head` is kept.
    pub(super) fn recovery(&self, position: Seq, head: Seq) -> Recovery {
        let next = self.batches.iter().find(|(_, batch)| batch.last() >= position);
        let inside =
            next.is_some_and(|(_, batch)| batch.first <= position || batch.prev == position);
        if inside || position == head { Recovery::Replay } else { Recovery::Snapshot }
    }
}

/// What one call adds to the log.
pub(super) struct Append {
    pub(super) prev: Seq,
    /// The highest number that the caller has seen.
    pub(super) seen: Seq,
    next: Seq,
    entries: Vec<Entry>,
    events: Vec<RoomEvent>,
}

impl Append {
    /// Numbers begin at the clock in µs, so that they pass a lost history, and never go backwards behind
    /// what the log holds or the caller has seen.
    pub(super) fn new(prev: Seq, seen: Seq, now: Duration) -> Self {
        let clock = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let next = Seq(clock.max(prev.0 + 1).max(seen.0 + 1));
        Self { prev, seen, next, entries: Vec::new(), events: Vec::new() }
    }

    /// Tells whether the clock is behind the numbers, so that they go on one by one.
    pub(super) fn is_ahead_of(&self, now: Duration) -> bool {
        Duration::from_micros(self.next.0) > now + CLOCK_BEHIND
    }

    /// Passes over the numbers of entries that may be lost.
    pub(super) fn pass_over(&mut self, now: Duration) {
        let by_clock = now.as_micros() % PASSED_OVER_BY_CLOCK.as_micros();
        self.next.0 += PASSED_OVER + u64::try_from(by_clock).unwrap_or_default();
    }

    pub(super) fn push(&mut self, entry: Entry) -> Seq {
        let seq = self.next;
        self.next = Seq(seq.0 + 1);
        self.entries.push(entry);
        seq
    }

    /// Notes something that back ends are told of.
    pub(super) fn tell(&mut self, event: RoomEvent) {
        self.events.push(event);
    }

    /// Takes out what back ends are told of.
    pub(super) fn take_events(&mut self) -> Vec<RoomEvent> {
        std::mem::take(&mut self.events)
    }

    /// Returns where the log will end.
    pub(super) fn last(&self) -> Seq {
        if self.entries.is_empty() { self.prev } else { Seq(self.next.0 - 1) }
    }

    pub(super) fn into_batch(self) -> Option<Batch> {
        let count = self.entries.len() as u64;
        let first = Seq(self.next.0 - count);
        (count > 0).then_some(Batch { prev: self.prev, first, entries: self.entries })
    }
}
