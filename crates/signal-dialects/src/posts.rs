//! Posts that wait for each other: one is in flight for each room, so that their order holds.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use signal_protocol::RoomId;

use crate::dialect::{DialectEffect, Effects, IgnoredReason, PostOutcome, RETRY_AFTER, RoomPost};

/// Posts that may wait for one room: what a page says that connects to dozens of others at once.
const PER_ROOM: usize = 1_024;

/// Bytes of posts that may wait on one connection.
const BYTES: usize = 1024 * 1024;

/// How long a post is repeated while the log is unavailable, or while a patient one finds nobody.
const PATIENCE: Duration = Duration::from_secs(5);

/// The posts of one connection that were not answered yet.
#[derive(Debug, Default)]
pub struct PostQueues {
    rooms: HashMap<RoomId, PostQueue>,
    count: u64,
    bytes: usize,
}

/// The posts into one room.
#[derive(Debug)]
struct PostQueue {
    waiting: VecDeque<(RoomPost, WhenGone)>,
    head: Head,
    /// How long the head waits after it has found nobody once more.
    pause: Duration,
}

/// What becomes of a post that finds nobody in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenGone {
    /// It is dropped, and the next one follows.
    Drop,
    /// It is tried again for a while, and what waits behind it waits with it. Then all of them are dropped.
    Wait,
}

/// A room in which nobody has appeared for as long as a post waits, by the name that the client uses.
#[derive(Debug, PartialEq, Eq)]
pub struct Absent(pub String);

/// What the first post waits for.
#[derive(Debug)]
enum Head {
    /// The join of the sender.
    Held,
    /// Its answer; since when it is tried.
    InFlight(Instant),
    /// The moment of its repetition; since when it is tried.
    Retry(Instant, Instant),
}

impl PostQueues {
    /// Queues a post, and sends it if it is the first one.
    pub fn push(
        &mut self,
        to: (&RoomId, &str),
        data: Box<RawValue>,
        when_gone: WhenGone,
        (now, effects): (Instant, &mut Effects),
    ) {
        self.queue(to, data, (when_gone, Head::InFlight(now)), effects);
    }

    /// Queues a post that waits for [`PostQueues::release`], and is dropped where nobody is.
    pub fn push_held(&mut self, to: (&RoomId, &str), data: Box<RawValue>, effects: &mut Effects) {
        self.queue(to, data, (WhenGone::Drop, Head::Held), effects);
    }

    fn queue(
        &mut self,
        (room, name): (&RoomId, &str),
        data: Box<RawValue>,
        (when_gone, head): (WhenGone, Head),
        effects: &mut Effects,
    ) {
        let bytes = data.get().len();
        let waiting = self.rooms.get(room).map_or(0, |queue| queue.waiting.len());
        if waiting >= PER_ROOM || self.bytes + bytes > BYTES {
            return effects.push(DialectEffect::Ignore(IgnoredReason::Limit));
        }
        self.count += 1;
        self.bytes += bytes;
        let post = RoomPost { room: room.clone(), name: name.to_owned(), count: self.count, data };
        if let Some(queue) = self.rooms.get_mut(room) {
            return queue.waiting.push_back((post, when_gone));
        }
        if let Head::InFlight(_) = head {
            effects.push(DialectEffect::Post(post.clone()));
        }
        let waiting = [(post, when_gone)].into();
        self.rooms.insert(room.clone(), PostQueue { waiting, head, pause: RETRY_AFTER });
    }

    /// Sends what was held for a room.
    pub fn release(&mut self, room: &RoomId, now: Instant, effects: &mut Effects) {
        if let Some(queue) = self.rooms.get_mut(room)
            && matches!(queue.head, Head::Held)
        {
            queue.send(now, effects);
        }
    }

    /// Applies what became of the post in flight; returns whose absence it has shown.
    pub fn answered(
        &mut self,
        room: &RoomId,
        outcome: PostOutcome,
        now: Instant,
        effects: &mut Effects,
    ) -> Option<Absent> {
        let queue = self.rooms.get_mut(room)?;
        let Head::InFlight(since) = queue.head else { return None };
        let reason = match outcome {
            PostOutcome::Posted => None,
            PostOutcome::Unavailable if now < since + PATIENCE => {
                queue.head = Head::Retry(now + RETRY_AFTER, since);
                return None;
            }
            PostOutcome::Gone if queue.is_patient() => return self.found_nobody(room, since, now),
            PostOutcome::Unavailable => Some(IgnoredReason::Unavailable),
            PostOutcome::Gone => Some(IgnoredReason::NoReceiver),
            PostOutcome::Limited => Some(IgnoredReason::Limit),
            PostOutcome::Forbidden => Some(IgnoredReason::Forbidden),
        };
        effects.extend(reason.map(DialectEffect::Ignore));
        self.finish_head(room, now, effects);
        None
    }

    /// Has the head wait for twice as long as before, or drops all of the queue once its time is over.
    fn found_nobody(&mut self, room: &RoomId, since: Instant, now: Instant) -> Option<Absent> {
        let queue = self.rooms.get_mut(room)?;
        let over = since + PATIENCE;
        if now < over {
            queue.head = Head::Retry((now + queue.pause).min(over), since);
            queue.pause *= 2;
            return None;
        }
        let queue = self.rooms.remove(room)?;
        self.bytes -= queue.waiting.iter().map(|(post, _)| post.data.get().len()).sum::<usize>();
        queue.waiting.into_iter().next().map(|(post, _)| Absent(post.name))
    }

    /// Takes the first post away, and sends the next one.
    fn finish_head(&mut self, room: &RoomId, now: Instant, effects: &mut Effects) {
        let Some(queue) = self.rooms.get_mut(room) else { return };
        self.bytes -= queue.waiting.pop_front().map_or(0, |(post, _)| post.data.get().len());
        if queue.waiting.is_empty() {
            self.rooms.remove(room);
        } else {
            queue.pause = RETRY_AFTER;
            queue.send(now, effects);
        }
    }

    /// Returns when the next repetition is due.
    #[must_use]
    pub fn next_retry(&self) -> Option<Instant> {
        let due = self.rooms.values().filter_map(|queue| match queue.head {
            Head::Retry(at, _) => Some(at),
            Head::Held | Head::InFlight(_) => None,
        });
        due.min()
    }

    /// Repeats what is due.
    pub fn tick(&mut self, now: Instant, effects: &mut Effects) {
        for queue in self.rooms.values_mut() {
            if let Head::Retry(at, since) = queue.head
                && at <= now
            {
                queue.send(since, effects);
            }
        }
    }
}

impl PostQueue {
    fn send(&mut self, since: Instant, effects: &mut Effects) {
        self.head = Head::InFlight(since);
        effects.extend(self.waiting.front().map(|(post, _)| DialectEffect::Post(post.clone())));
    }

    fn is_patient(&self) -> bool {
        self.waiting.front().is_some_and(|(_, when_gone)| *when_gone == WhenGone::Wait)
    }
}
