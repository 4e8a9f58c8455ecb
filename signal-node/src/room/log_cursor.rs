//! Where a room stands in its log, what has arrived beyond that, and how a hole is filled.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use signal_protocol::{RoomId, Seq};

use crate::log::{Batch, RoomLog};

/// Batches that may wait for a hole to be filled; more are read again from the log.
const HELD: usize = 256;

/// Batches that are read at once.
const PAGE: usize = 64;

/// Pause before a log that did not answer is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The position of one room on this node.
#[derive(Default)]
pub(super) struct LogCursor {
    position: Option<Seq>,
    held: VecDeque<Arc<Batch>>,
    filling: Option<BoxFuture<'static, Vec<Batch>>>,
    /// The batch in front of which the log was last read for what is missing.
    last_gap_read: Option<Seq>,
    missed: bool,
}

/// What comes next.
pub(super) enum Next {
    /// This batch follows what was delivered.
    Batch(Arc<Batch>),
    /// Nothing yet.
    Nothing,
    /// What lies between is gone from the log; delivery goes on behind it.
    Lost,
    /// The log does not continue what was delivered: it has lost writes. Delivery stands still until a
    /// reset says so.
    Broken,
}

impl LogCursor {
    /// Returns the number of the last delivered entry; 0 before the first join.
    pub(super) fn position(&self) -> Seq {
        self.position.unwrap_or_default()
    }

    /// Begins behind `base`, unless the room has a position already.
    pub(super) fn begin(&mut self, base: Seq) {
        self.position.get_or_insert(base);
    }

    /// Takes a batch in; `false` if too many wait already and have to be read again.
    pub(super) fn arrived(&mut self, batch: Arc<Batch>) -> bool {
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

    /// Tells whether everything that has arrived was delivered.
    pub(super) fn is_caught_up(&self) -> bool {
        self.held.is_empty() && self.filling.is_none() && !self.missed
    }

    /// Takes out the batch that follows; starts to read the room's log where one is missing.
    pub(super) fn next(&mut self, log: &Arc<dyn RoomLog>, room: &RoomId) -> Next {
        let Some(position) = self.position else { return Next::Nothing };
        if std::mem::take(&mut self.missed) {
            self.fill(log, room, position);
        }
        if self.filling.is_some() {
            return Next::Nothing;
        }
        while self.held.front().is_some_and(|batch| batch.last() <= position) {
            self.held.pop_front();
        }
        let Some(batch) = self.held.front() else { return Next::Nothing };
        match batch.prev.cmp(&position) {
            Ordering::Equal => self.take(),
            // A reset follows anything, and says what is wrong with all that came before it.
            Ordering::Less if self.held.iter().any(|batch| batch.is_reset()) => self.take(),
            Ordering::Less => Next::Broken,
            Ordering::Greater if self.last_gap_read != Some(batch.first) => {
                self.last_gap_read = Some(batch.first);
                self.fill(log, room, position);
                Next::Nothing
            }
            Ordering::Greater if batch.is_reset() => self.take(),
            Ordering::Greater => {
                self.position = Some(batch.prev);
                Next::Lost
            }
        }
    }

    fn take(&mut self) -> Next {
        self.held.pop_front().map_or(Next::Nothing, Next::Batch)
    }

    fn fill(&mut self, log: &Arc<dyn RoomLog>, room: &RoomId, after: Seq) {
        self.filling = Some(Box::pin(read_until_answered(log.clone(), room.clone(), after)));
    }

    /// Polls the reading of the log; never ready while it is not read.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(filling) = &mut self.filling else { return Poll::Pending };
        let found = ready!(filling.as_mut().poll(context));
        self.filling = None;
        let read = found.into_iter().map(Arc::new);
        let known = read.clone().next_back().map_or(Seq(0), |batch| batch.last());
        let later = std::mem::take(&mut self.held);
        let later = later.into_iter().filter(|batch| batch.last() > known);
        self.held = read.chain(later).collect();
        Poll::Ready(())
    }
}

async fn read_until_answered(log: Arc<dyn RoomLog>, room: RoomId, after: Seq) -> Vec<Batch> {
    loop {
        if let Ok(batches) = log.read(&room, after, PAGE).await {
            return batches;
        }
        tokio::time::sleep(READ_AGAIN_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use signal_protocol::PeerKey;

    use super::*;
    use crate::log::memory::MemoryLog;
    use crate::log::{Join, Op, Retention};

    const KEEP: Retention = Retention {
        age: Duration::from_secs(60),
        length: 1_000,
        bytes: 1 << 20,
        room: Duration::from_secs(60),
    };

    fn join(number: u64) -> Op {
        let key: PeerKey = format!("{number:A<22}").parse().unwrap();
        Op::Join(Box::new(Join::simple(&key, 1, "n_one".parse().unwrap())))
    }

    /// A log of so many batches, and a cursor behind the first of them.
    async fn stage(batches: u64) -> (Arc<dyn RoomLog>, LogCursor, Vec<Arc<Batch>>) {
        let log: Arc<dyn RoomLog> = Arc::new(MemoryLog::new(KEEP));
        grow(&*log, 0..batches).await;
        let mut cursor = LogCursor::default();
        let kept = kept(&*log).await;
        cursor.begin(kept[0].last());
        (log, cursor, kept)
    }

    fn room() -> RoomId {
        "demo".parse().unwrap()
    }

    async fn read(cursor: &mut LogCursor) {
        poll_fn(|context| cursor.poll_read(context)).await;
    }

    async fn grow(log: &dyn RoomLog, numbers: std::ops::Range<u64>) {
        for number in numbers {
            log.call(&room(), Seq(0), &[join(number)]).await.unwrap();
        }
    }

    async fn kept(log: &dyn RoomLog) -> Vec<Arc<Batch>> {
        log.read(&room(), Seq(0), 1_000).await.unwrap().into_iter().map(Arc::new).collect()
    }

    /// Delivers what there is, reading where it has to; `None` once something is lost.
    async fn delivers(log: &Arc<dyn RoomLog>, cursor: &mut LogCursor, upto: Seq) -> Option<usize> {
        let mut count = 0;
        while cursor.position() < upto {
            match cursor.next(log, &room()) {
                Next::Batch(batch) => {
                    cursor.delivered(batch.last());
                    count += 1;
                }
                Next::Nothing => read(cursor).await,
                Next::Lost | Next::Broken => return None,
            }
        }
        Some(count)
    }

    #[tokio::test]
    async fn a_hole_of_more_than_a_page_is_filled() {
        let (log, mut cursor, kept) = stage(200).await;
        let last = kept.last().unwrap();
        cursor.arrived(last.clone());
        assert_eq!(delivers(&log, &mut cursor, last.last()).await, Some(199));
    }

    #[tokio::test]
    async fn a_hole_is_looked_into_although_an_earlier_look_found_nothing() {
        let (log, mut cursor, _) = stage(1).await;
        cursor.missed();
        assert!(matches!(cursor.next(&log, &room()), Next::Nothing));
        read(&mut cursor).await;
        grow(&*log, 1..4).await;
        let kept = kept(&*log).await;
        cursor.arrived(kept[3].clone());
        assert_eq!(delivers(&log, &mut cursor, kept[3].last()).await, Some(3));
    }

    #[tokio::test]
    async fn a_hole_that_the_log_cannot_fill_is_a_loss() {
        let (log, mut cursor, kept) = stage(2).await;
        let beyond = Seq(kept[1].last().0 + 1_000);
        let batch = Batch { prev: beyond, first: Seq(beyond.0 + 1), ..Batch::clone(&kept[1]) };
        cursor.arrived(Arc::new(batch));
        assert_eq!(delivers(&log, &mut cursor, Seq(beyond.0 + 1)).await, None);
    }
}
