//! The log of one process: the same promises as Redis, without surviving its own end.

mod call_steps;
mod calls;
mod event_queues;
mod events;
mod lines;
mod member;
mod posts;
mod revocation;
mod room;
mod stream;
mod takeover;
#[cfg(test)]
mod takeover_model;
mod timeline;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use signal_protocol::{NodeId, RoomId, Seq};
use tokio::sync::watch;

use super::{
    Batch, Feed, FeedEvent, FeedSender, HeartbeatStore, Heartbeats, Load, LogError, Op, Outcome,
    Retention, RevokedList, RoomLog, TimelineKey, Trouble, Volatile, feed,
};
use event_queues::Events;
use lines::Timeline;
use room::RoomState;

/// Tells the time since 1970-01-01T00:00:00Z.
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// Rooms in this process's memory.
pub struct MemoryLog {
    rooms: Mutex<Rooms>,
    revoked: Mutex<RevokedList>,
    timelines: Mutex<HashMap<TimelineKey, Timeline>>,
    /// `None`: no events are stored.
    events: Option<Events>,
    retention: Retention,
    clock: Clock,
}

/// All rooms. Those that are over are forgotten by time ([`MemoryLog::forget`]).
#[derive(Default)]
struct Rooms {
    map: HashMap<RoomId, Room>,
}

impl Rooms {
    /// Returns the room, made if need be.
    fn room(&mut self, id: &RoomId) -> &mut Room {
        self.map.entry(id.clone()).or_default()
    }

    /// Gives the memory of a table back that is mostly empty.
    fn shrink(&mut self) {
        if self.map.capacity() > 64 + 4 * self.map.len() {
            self.map.shrink_to(2 * self.map.len());
        }
    }
}

/// A room and who listens to it.
#[derive(Default)]
struct Room {
    state: RoomState,
    feeds: Vec<FeedSender>,
}

impl Room {
    fn copied(mut state: RoomState) -> Self {
        state.copy += 1;
        Self { state, feeds: Vec::new() }
    }

    fn publish(&mut self, event: &FeedEvent) {
        self.feeds.retain(|feed| !feed.is_closed());
        for feed in &self.feeds {
            feed.push(event.clone());
        }
    }

    fn is_heard(&self) -> bool {
        self.feeds.iter().any(|feed| !feed.is_closed())
    }
}

impl MemoryLog {
    /// Makes an empty log.
    #[must_use]
    pub fn new(retention: Retention) -> Self {
        Self::with_clock(retention, service_kit::clock::unix_now)
    }

    /// Makes an empty log that lives by another clock than the system's.
    #[must_use]
    pub fn with_clock(
        retention: Retention,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        let (rooms, revoked, timelines) = Default::default();
        Self { rooms, revoked, timelines, events: None, retention, clock: Box::new(clock) }
    }

    /// Stores events for webhooks from now on, and keeps each for so long at most. A room is attended to for `attended` as it is
    /// opened.
    #[must_use]
    pub fn with_events(self, keep: Duration, attended: Duration) -> Self {
        Self { events: Some(Events::new(keep, attended)), ..self }
    }

    /// Forgets the rooms that are over, and what is too old in the others.
    pub fn forget(&self) {
        let now = (self.clock)();
        let mut rooms = self.rooms();
        rooms.map.retain(|id, room| {
            room.state.trim(now, &self.retention.of(id));
            room.is_heard() || !room.state.is_over(now, self.retention.room)
        });
        rooms.shrink();
        self.timelines().retain(|_, timeline| timeline.trim(now));
        drop(rooms);
        self.trim_events(now);
    }

    /// Returns a log with the same rooms, which go their own way from here on: for tests that lose what comes later.
    #[must_use]
    pub fn copy(&self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let copy = Self::with_clock(self.retention, clock);
        let rooms = self.rooms();
        let states = rooms.map.iter().map(|(id, room)| (id.clone(), room.state.clone()));
        copy.rooms().map = states.map(|(id, state)| (id, Room::copied(state))).collect();
        drop(rooms);
        copy
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn revoked(&self) -> MutexGuard<'_, RevokedList> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timelines(&self) -> MutexGuard<'_, HashMap<TimelineKey, Timeline>> {
        self.timelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self, room: &RoomId) -> Feed {
        self.attend_room(room);
        let (sender, receiver) = feed();
        self.rooms().room(room).feeds.push(sender);
        receiver
    }

    fn apply(&self, room: &RoomId, seen: Seq, ops: &[Op]) -> Result<Vec<Outcome>, LogError> {
        let now = (self.clock)();
        let (mut rooms, retention) = (self.rooms(), self.retention.of(room));
        if !rooms.map.contains_key(room) && ops.iter().all(|op| matches!(op, Op::Post(_))) {
            // A sender that posts under one name after another would fill the memory with rooms in which nobody is.
            return Ok(ops.iter().map(|_| Outcome::Gone(Seq(0))).collect());
        }
        let id = room;
        let room = rooms.room(id);
        let (outcomes, batch) = room.state.call(seen, ops, now, &retention)?;
        self.store_events(id, room.state.take_events(), now);
        if let Some(batch) = batch {
            room.publish(&FeedEvent::Batch(batch));
        }
        Ok(outcomes)
    }
}

impl RoomLog for MemoryLog {
    fn open(&self, room: &RoomId) -> BoxFuture<'_, Result<Feed, LogError>> {
        let feed = self.subscribe(room);
        Box::pin(async { Ok(feed) })
    }

    fn call<'a>(
        &'a self,
        room: &'a RoomId,
        seen: Seq,
        ops: &'a [Op],
    ) -> BoxFuture<'a, Result<Vec<Outcome>, LogError>> {
        Box::pin(async move { self.apply(room, seen, ops) })
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Batch>, LogError>> {
        let rooms = self.rooms();
        let found = rooms.map.get(room).map(|room| room.state.read(after, limit));
        let found = found.unwrap_or_default();
        Box::pin(async { Ok(found) })
    }

    fn publish_volatile<'a>(
        &'a self,
        room: &'a RoomId,
        volatiles: &'a [Volatile],
    ) -> BoxFuture<'a, Result<(), LogError>> {
        if let Some(room) = self.rooms().map.get_mut(room) {
            room.publish(&FeedEvent::Volatile(volatiles.into()));
        }
        Box::pin(async { Ok(()) })
    }
}

/// There is one node, and it needs no heartbeat to know that it lives.
impl HeartbeatStore for MemoryLog {
    fn exchange<'a>(
        &'a self,
        _: &'a NodeId,
        _: bool,
    ) -> BoxFuture<'a, Result<Heartbeats, LogError>> {
        Box::pin(async { Ok(Heartbeats { clock: (self.clock)(), counters: Vec::new() }) })
    }

    fn trouble(&self) -> Option<Trouble> {
        None
    }

    fn report<'a>(&'a self, _: &'a NodeId, _: &'a Load) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(async { Ok(()) })
    }

    fn loads(&self) -> BoxFuture<'_, Result<Vec<(NodeId, Load)>, LogError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn forget<'a>(&'a self, _: &'a [NodeId]) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(async { Ok(()) })
    }

    fn reconnects(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use serde_json::value::RawValue;

    use super::*;
    use crate::log::{Join, Judgement, Post, SocketId};

    #[tokio::test]
    async fn rooms_that_are_over_are_forgotten_by_time() {
        let seconds = Arc::new(AtomicU64::new(1_000));
        let clock = seconds.clone();
        let (age, room) = (Duration::from_secs(10), Duration::from_secs(100));
        let retention = Retention { age, length: 100, bytes: 1 << 20, room };
        let now = move || Duration::from_secs(clock.load(Ordering::SeqCst));
        let log = MemoryLog::with_clock(retention, now);
        let id = |number: u64| -> RoomId { format!("room-{number}").parse().unwrap() };
        let join =
            Join::simple(&"AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap(), 1, "n_one".parse().unwrap());
        for number in 0..10 {
            log.call(&id(number), Seq(0), &[Op::Join(Box::new(join.clone()))]).await.unwrap();
        }
        let listener = log.open(&id(0)).await.unwrap();
        seconds.fetch_add(11, Ordering::SeqCst);
        log.forget();
        assert!(log.read(&id(1), Seq(0), 9).await.unwrap().is_empty(), "what is too old");
        assert_eq!(log.rooms().map.len(), 10);
        seconds.fetch_add(90, Ordering::SeqCst);
        log.forget();
        assert_eq!(log.rooms().map.len(), 1, "somebody listens to one");
        drop(listener);
        log.forget();
        assert_eq!(log.rooms().map.len(), 0);
    }

    #[tokio::test]
    async fn a_post_into_a_room_that_there_is_not_makes_none() {
        let (age, room) = (Duration::from_secs(10), Duration::from_secs(100));
        let log = MemoryLog::new(Retention { age, length: 100, bytes: 1 << 20, room });
        let data = RawValue::from_string("1".to_owned()).unwrap().into();
        let (grace, judgement) = (Duration::ZERO, Judgement::certain(Vec::new()));
        let post = Post { from: SocketId(1), count: 1, data, grace, judgement };
        let id = "room".parse().unwrap();
        let outcomes = log.call(&id, Seq(0), &[Op::Post(Box::new(post))]).await.unwrap();
        assert!(matches!(outcomes[..], [Outcome::Gone(_)]));
        assert_eq!(log.rooms().map.len(), 0);
    }

    #[tokio::test]
    async fn a_copy_gives_no_number_again_although_the_clock_was_set_back() {
        let (age, room) = (Duration::from_secs(10), Duration::from_secs(100));
        let retention = Retention { age, length: 100, bytes: 1 << 20, room };
        let log = MemoryLog::with_clock(retention, || Duration::from_secs(1_000));
        let id: RoomId = "room".parse().unwrap();
        let join = async |log: &MemoryLog, key: &str| {
            let join = Join::simple(&key.parse().unwrap(), 1, "n_one".parse().unwrap());
            log.call(&id, Seq(0), &[Op::Join(Box::new(join))]).await.unwrap();
            log.read(&id, Seq(0), 99).await.unwrap().last().unwrap().last()
        };
        join(&log, "AAAAAAAAAAAAAAAAAAAAAA").await;
        let set_back = log.copy(|| Duration::from_secs(10));
        let known = join(&set_back, "BBBBBBBBBBBBBBBBBBBBBB").await;
        let snapshot = set_back.copy(|| Duration::from_secs(10));
        let later = set_back.copy(|| Duration::from_secs(11));
        let lost = join(&set_back, "CCCCCCCCCCCCCCCCCCCCCC").await;
        assert_eq!(lost.0, known.0 + 1);
        let first = join(&snapshot, "DDDDDDDDDDDDDDDDDDDDDD").await;
        assert!(first > lost, "{first:?} was given again");
        assert_eq!(join(&snapshot, "EEEEEEEEEEEEEEEEEEEEEE").await.0, first.0 + 1);
        assert!(join(&later, "FFFFFFFFFFFFFFFFFFFFFF").await.0 > first.0 + 1);
    }
}
