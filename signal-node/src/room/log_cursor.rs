//! Where a room stands in its log: what has been delivered, what has arrived beyond that, what is missing between.
//!
//! Entries are delivered in the order of `seq` and without a hole, although batches arrive early, twice, or not at
//! all. What must hold:
//!
//! - A hole is read from the log once before it counts as lost. The read may have begun before the missing batch was
//!   appended, so every batch in front of which there is a hole has a read of its own (`last_gap_read`).
//! - A batch that continues an *earlier* position than ours means that the log has lost writes, not that we have. All
//!   delivery stops until a `reset` comes, which may follow anything: delivering would give one `seq` two meanings.
//! - A batch that passes over an entry that an answer of the log has named means the same: what was appended is lost, and
//!   nobody would be told that it is.
//! - A batch that starts with a `reset` is taken over a hole, since its roster says what the hole held.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use signal_protocol::Seq;
use tokio::time::Instant;

use super::timers::Timers;
use crate::log::Batch;

/// Batches that may wait for a hole to be filled. More are dropped and read again.
const HELD: usize = 256;

/// The position of one room on this node.
#[derive(Default)]
pub(super) struct LogCursor {
    /// The last delivered entry; `None` before the first join, whose outcome says where to begin.
    position: Option<Seq>,
    held: VecDeque<Arc<Batch>>,
    is_reading: bool,
    /// The batch in front of which the log was last read for what is missing.
    last_gap_read: Option<Seq>,
    /// Whether something may have been missed that no held batch tells of.
    missed: bool,
    /// The last entry that is known to be in the log.
    known: Seq,
    /// What was known when the wait for its echo began.
    awaited: Seq,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    /// Deliver this batch: it follows what was delivered.
    Batch(Arc<Batch>),
    /// Wait.
    Nothing,
    /// Read the log behind this entry.
    Read(Seq),
    /// Entries are gone from the log. Delivery goes on behind them.
    Lost,
    /// The log has lost entries that were delivered. Delivery stops until a reset.
    Broken,
}

/// Tells whether a batch lies behind `seq` and follows an entry before it: the log holds no such entry.
fn passes_over(batch: &Batch, seq: Seq) -> bool {
    batch.prev < seq && seq < batch.first
}

impl LogCursor {
    /// Returns the number of the last delivered entry; 0 before the first join.
    pub(super) fn position(&self) -> Seq {
        self.position.unwrap_or_default()
    }

    /// Returns the highest number that is known to have been in the log: a log that ends before it has lost writes. An
    /// outcome may know of entries that were not delivered, such as that of a first join, behind which there is no
    /// position yet to miss anything from.
    pub(super) fn seen(&self) -> Seq {
        self.position().max(self.known)
    }

    /// Forgets what was known of the log before a reset: the roster of the reset says what is left of it.
    pub(super) fn on_reset(&mut self, seq: Seq) {
        (self.known, self.awaited) = (seq, seq);
    }

    /// Has no position any more: the next outcome says where to begin. A read that is under way is of the log before.
    pub(super) fn restart(&mut self) {
        let held = std::mem::take(&mut self.held);
        *self = Self { held, ..Self::default() };
    }

    /// Begins behind `base`, unless the room has a position already.
    pub(super) fn begin(&mut self, base: Seq) {
        self.position.get_or_insert(base);
    }

    /// Takes out the batches that came while there is no `position`, and whether a gap was told: no join here has succeeded.
    pub(super) fn take_unordered(&mut self) -> Option<(VecDeque<Arc<Batch>>, bool)> {
        let has_come = self.position.is_none() && (self.missed || !self.held.is_empty());
        has_come.then(|| (std::mem::take(&mut self.held), std::mem::take(&mut self.missed)))
    }

    /// Takes a batch in; `false` if too many wait already, and all of them have to be read again.
    pub(super) fn push(&mut self, batch: Arc<Batch>) -> bool {
        let fits = self.held.len() < HELD;
        if fits {
            self.held.push_back(batch);
        } else {
            self.held.clear();
            self.missed = true;
        }
        fits
    }

    /// Notes that something may have been missed.
    pub(super) fn missed(&mut self) {
        self.missed = true;
    }

    /// Puts back a batch that cannot be delivered yet.
    pub(super) fn unread(&mut self, batch: Arc<Batch>) {
        self.held.push_front(batch);
    }

    /// Notes that everything up to `seq` was delivered.
    pub(super) fn delivered(&mut self, seq: Seq) {
        self.position = Some(seq);
        self.last_gap_read = None;
    }

    /// Tells whether a batch that waits passes over an entry.
    pub(super) fn skips(&self, seq: Seq) -> bool {
        self.held.iter().any(|batch| passes_over(batch, seq))
    }

    /// Tells whether everything that has arrived was delivered.
    pub(super) fn is_caught_up(&self) -> bool {
        self.held.is_empty() && !self.is_reading && !self.missed
    }

    /// Says what is to be done next.
    pub(super) fn next(&mut self) -> Next {
        let Some(position) = self.position else { return Next::Nothing };
        if std::mem::take(&mut self.missed) {
            return self.read(position);
        }
        if self.is_reading {
            return Next::Nothing;
        }
        while self.held.front().is_some_and(|batch| batch.last() <= position) {
            self.held.pop_front();
        }
        let Some(batch) = self.held.front() else { return Next::Nothing };
        match batch.prev.cmp(&position) {
            Ordering::Equal if !passes_over(batch, self.known) => self.take(),
            Ordering::Equal | Ordering::Less if self.holds_reset() => self.take(),
            Ordering::Equal | Ordering::Less => Next::Broken,
            Ordering::Greater if self.last_gap_read != Some(batch.first) => {
                self.last_gap_read = Some(batch.first);
                self.read(position)
            }
            Ordering::Greater if batch.is_reset() => self.take(),
            Ordering::Greater => {
                self.position = Some(batch.prev);
                Next::Lost
            }
        }
    }

    /// Tells whether a reset waits, which speaks for what the log has lost.
    fn holds_reset(&self) -> bool {
        self.held.iter().any(|batch| batch.is_reset())
    }

    fn take(&mut self) -> Next {
        self.held.pop_front().map_or(Next::Nothing, Next::Batch)
    }

    fn read(&mut self, after: Seq) -> Next {
        self.is_reading = true;
        Next::Read(after)
    }

    /// Takes in what was read: it comes before whatever is held and goes further.
    pub(super) fn on_read(&mut self, found: Vec<Batch>) {
        if !std::mem::take(&mut self.is_reading) {
            // Read for the room as it was before a panic.
            return;
        }
        let last = found.last().map_or(Seq(0), Batch::last);
        let later = std::mem::take(&mut self.held);
        let later = later.into_iter().filter(|batch| batch.last() > last);
        self.held = found.into_iter().map(Arc::new).chain(later).collect();
    }

    /// Notes that the log reaches at least as far as `seq`. What does not come back in time was not heard: the
    /// subscription is deaf.
    pub(super) fn note_head(&mut self, seq: Seq, timers: &mut Timers, now: Instant) {
        self.known = self.known.max(seq);
        if !timers.awaits_echo() {
            self.await_echo(timers, now);
        }
    }

    /// Starts to wait for what is known to be in the log and has not been delivered.
    pub(super) fn await_echo(&mut self, timers: &mut Timers, now: Instant) {
        if self.known > self.position() {
            self.awaited = self.known;
            timers.echo(now);
        }
    }

    /// Tells whether an awaited entry has still not been delivered.
    pub(super) fn is_echo_missing(&self) -> bool {
        self.position.is_some_and(|position| self.awaited > position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Entry;

    fn batch(prev: u64, first: u64) -> Batch {
        let peer = "p_someone_else".parse().unwrap();
        Batch { prev: Seq(prev), first: Seq(first), entries: vec![Entry::Back { peer }] }
    }

    fn at(position: u64) -> LogCursor {
        let mut cursor = LogCursor::default();
        cursor.begin(Seq(position));
        cursor
    }

    fn deliver(cursor: &mut LogCursor) -> u64 {
        let Next::Batch(batch) = cursor.next() else { panic!("no batch to deliver") };
        cursor.delivered(batch.last());
        batch.last().0
    }

    #[test]
    fn a_hole_of_more_than_a_page_is_filled_page_by_page() {
        let mut cursor = at(1);
        cursor.push(Arc::new(batch(4, 5)));
        assert!(matches!(cursor.next(), Next::Read(Seq(1))));
        cursor.on_read(vec![batch(1, 2), batch(2, 3)]);
        assert_eq!([deliver(&mut cursor), deliver(&mut cursor)], [2, 3]);
        assert!(matches!(cursor.next(), Next::Read(Seq(3))));
        cursor.on_read(vec![batch(3, 4), batch(4, 5)]);
        assert_eq!([deliver(&mut cursor), deliver(&mut cursor)], [4, 5]);
        assert!(cursor.is_caught_up());
    }

    #[test]
    fn a_hole_is_looked_into_although_an_earlier_look_found_nothing() {
        let mut cursor = at(1);
        cursor.missed();
        assert!(matches!(cursor.next(), Next::Read(Seq(1))));
        cursor.on_read(Vec::new());
        cursor.push(Arc::new(batch(2, 3)));
        assert!(matches!(cursor.next(), Next::Read(Seq(1))));
    }

    #[test]
    fn a_hole_that_the_log_cannot_fill_is_a_loss_and_delivery_goes_on_behind_it() {
        let mut cursor = at(1);
        cursor.push(Arc::new(batch(1_000, 1_001)));
        assert!(matches!(cursor.next(), Next::Read(Seq(1))));
        cursor.on_read(Vec::new());
        assert!(matches!(cursor.next(), Next::Lost));
        assert_eq!(deliver(&mut cursor), 1_001);
    }

    /// What a member had said was in the log by its answer, and in no copy of it later.
    #[test]
    fn a_batch_that_passes_over_a_known_entry_stops_delivery_until_a_reset_comes() {
        let mut cursor = at(9);
        cursor.on_reset(Seq(9));
        cursor.known = Seq(11);
        cursor.push(Arc::new(batch(9, 12)));
        assert!(matches!(cursor.next(), Next::Broken));
        let entries = vec![Entry::Reset { roster: Vec::new() }];
        cursor.push(Arc::new(Batch { prev: Seq(12), first: Seq(13), entries }));
        assert_eq!([deliver(&mut cursor), deliver(&mut cursor)], [12, 13]);
        cursor.known = Seq(15);
        cursor.push(Arc::new(Batch {
            entries: vec![Entry::Unknown, Entry::Unknown],
            ..batch(13, 14)
        }));
        assert_eq!(deliver(&mut cursor), 15);
    }

    #[test]
    fn a_batch_that_continues_an_earlier_position_stops_delivery_until_a_reset_comes() {
        let mut cursor = at(9);
        cursor.push(Arc::new(Batch { first: Seq(12), ..batch(4, 0) }));
        assert!(matches!(cursor.next(), Next::Broken));
        let entries = vec![Entry::Reset { roster: Vec::new() }];
        cursor.push(Arc::new(Batch { prev: Seq(12), first: Seq(13), entries }));
        assert_eq!([deliver(&mut cursor), deliver(&mut cursor)], [12, 13]);
    }
}
