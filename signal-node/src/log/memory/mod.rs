//! The log of one process: the same promises as Redis, without surviving its own end.

mod member;
mod revocation;
mod room;
mod stream;
mod takeover;
#[cfg(test)]
mod takeover_model;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use signal_protocol::{NodeId, RoomId, Seq};
use tokio::sync::watch;

use super::{
    Batch, Feed, FeedEvent, FeedSender, HeartbeatStore, Heartbeats, Load, LogError, Op, Outcome,
    Retention, RevokedList, RoomLog, Trouble, Volatile, feed,
};
use room::RoomState;

/// Tells the time since 1970-01-01T00:00:00Z.
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// Rooms in this process's memory.
pub struct MemoryLog {
    rooms: Mutex<Rooms>,
    revoked: Mutex<RevokedList>,
    retention: Retention,
    clock: Clock,
}

/// All rooms, and how many there may be before forgotten ones are looked for.
#[derive(Default)]
struct Rooms {
    map: HashMap<RoomId, Room>,
    sweep_at: usize,
}

impl Rooms {
    /// Returns the room, made if need be. Each doubling first forgets the rooms that are over.
    fn room(&mut self, id: &RoomId, now: Duration, keep: Duration) -> &mut Room {
        if self.map.len() > self.sweep_at {
            self.map.retain(|_, room| room.is_heard() || !room.state.is_over(now, keep));
            self.sweep_at = (self.map.len() * 2).max(64);
        }
        self.map.entry(id.clone()).or_default()
    }
}

/// A room and who listens to it.
#[derive(Default)]
struct Room {
    state: RoomState,
    feeds: Vec<FeedSender>,
}

impl Room {
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
        let (rooms, revoked) = (Mutex::default(), Mutex::default());
        Self { rooms, revoked, retention, clock: Box::new(clock) }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn revoked(&self) -> MutexGuard<'_, RevokedList> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self, room: &RoomId) -> Feed {
        let (sender, receiver) = feed();
        let now = (self.clock)();
        self.rooms().room(room, now, self.retention.room).feeds.push(sender);
        receiver
    }

    fn apply(&self, room: &RoomId, seen: Seq, ops: &[Op]) -> Result<Vec<Outcome>, LogError> {
        let now = (self.clock)();
        let mut rooms = self.rooms();
        let room = rooms.room(room, now, self.retention.room);
        let (outcomes, batch) = room.state.call(seen, ops, now, &self.retention)?;
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

    fn tell<'a>(
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
