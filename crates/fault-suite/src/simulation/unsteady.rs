//! One node's view of the log, over a way on which everything takes time and some of it is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use signal_node::log::{
    Batch, Feed, HeartbeatStore, Heartbeats, Load, LogError, Op, Outcome, RoomLog, Trouble,
    Volatile, feed as new_feed,
};
use signal_protocol::{NodeId, RoomId, Seq};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::dice::Dice;
use super::feed::Forwarder;
use super::link::{Link, Way, passable};
use super::store::Store;

/// A node waits so long for Redis.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);
/// One call in so many does not reach the log, and as many answers do not come back.
const LOST_CALLS: u32 = 60;
/// One call in so many arrives a second time, this long after the first.
const LATE_COPIES: u32 = 100;
const LATE_AFTER: Duration = Duration::from_secs(2);
/// One heartbeat in so many fails, never two in a row: that would be half a lease without contact, which is a fault
/// of its own and holds up whoever may have to judge others by it.
const LOST_BEATS: u32 = 200;

/// One node's view of the log.
pub(super) struct View {
    store: Arc<Store>,
    /// The way there.
    pub(super) link: Link,
    dice: Dice,
    /// Whether the last heartbeat failed.
    missed: AtomicBool,
}

impl View {
    pub(super) fn new(store: Arc<Store>, dice: Dice) -> Arc<Self> {
        Arc::new(Self { store, link: Link::new(), dice, missed: AtomicBool::new(false) })
    }

    /// Goes to the log and comes back with what it said, unless one of the ways fails.
    async fn ask<T>(&self, act: impl Future<Output = Result<T, LogError>>) -> Result<T, LogError> {
        let connection = self.link.now().connection;
        let asked = async {
            sleep(self.dice.delay()).await;
            self.pass(connection, LOST_CALLS).await?;
            let answer = act.await;
            sleep(self.dice.delay()).await;
            self.pass(connection, LOST_CALLS).await?;
            answer
        };
        timeout(COMMAND_TIMEOUT, asked).await.unwrap_or_else(|_| Err(lost()))
    }

    /// Gets through, unless the connection is another one now.
    async fn pass(&self, connection: u64, lost_in: u32) -> Result<(), LogError> {
        let state = passable(&mut self.link.watch()).await;
        let whole = state.way == Way::Open && state.connection == connection;
        if whole && !self.dice.one_in(lost_in) { Ok(()) } else { Err(lost()) }
    }

    /// Has a copy of a call arrive by itself, after its sender has had its answer or given up.
    fn send_late(&self, room: RoomId, seen: Seq, ops: Vec<Op>) {
        let store = self.store.clone();
        let late = LATE_AFTER + self.dice.delay();
        tokio::spawn(async move {
            sleep(late).await;
            if store.accept_write().is_ok() {
                // Nobody waits for what it is answered.
                let _ = store.log().call(&room, seen, &ops).await;
            }
        });
    }

    async fn beat<T>(&self, act: impl FnOnce(&Store) -> T) -> Result<T, LogError> {
        let connection = self.link.now().connection;
        sleep(self.dice.short_delay()).await;
        let missed = self.missed.swap(false, Ordering::Relaxed);
        self.pass(connection, if missed { u32::MAX } else { LOST_BEATS })
            .await
            .inspect_err(|_| self.missed.store(true, Ordering::Relaxed))?;
        Ok(act(&self.store))
    }
}

fn lost() -> LogError {
    LogError::Unavailable("lost on the way".to_owned())
}

impl RoomLog for View {
    fn open(&self, room: &RoomId) -> BoxFuture<'_, Result<Feed, LogError>> {
        let room = room.clone();
        Box::pin(self.ask(async move {
            let (sender, feed) = new_feed();
            let link = self.link.watch();
            let store = self.store.clone();
            Forwarder::start(store, room, link, self.dice.fork(), sender).await?;
            Ok(feed)
        }))
    }

    fn call<'a>(
        &'a self,
        room: &'a RoomId,
        seen: Seq,
        ops: &'a [Op],
    ) -> BoxFuture<'a, Result<Vec<Outcome>, LogError>> {
        // Nothing leaves a node that was killed.
        if self.dice.one_in(LATE_COPIES) && self.link.now().way != Way::Dead {
            self.send_late(room.clone(), seen, ops.to_vec());
        }
        Box::pin(self.ask(async move {
            self.store.accept_write()?;
            self.store.log().call(room, seen, ops).await
        }))
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Batch>, LogError>> {
        Box::pin(self.ask(async move { self.store.log().read(room, after, limit).await }))
    }

    fn publish_volatile<'a>(
        &'a self,
        room: &'a RoomId,
        volatiles: &'a [Volatile],
    ) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.ask(async move { self.store.log().publish_volatile(room, volatiles).await }))
    }
}

impl HeartbeatStore for View {
    fn exchange<'a>(
        &'a self,
        node: &'a NodeId,
        beats: bool,
    ) -> BoxFuture<'a, Result<Heartbeats, LogError>> {
        Box::pin(async move {
            let exchanged = self.beat(move |store| {
                store.accept_write()?;
                Ok(store.exchange(node, beats))
            });
            exchanged.await?
        })
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

    fn forget<'a>(&'a self, nodes: &'a [NodeId]) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.beat(move |store| store.forget(nodes)))
    }

    fn reconnects(&self) -> watch::Receiver<u64> {
        self.link.reconnects()
    }
}
