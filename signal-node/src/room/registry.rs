//! Which rooms have a worker here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use service_kit::settings::Rate;
use signal_protocol::{NodeId, RoomId, Seq};
use tokio::sync::{oneshot, watch};

use super::command::Command;
use super::worker::Worker;
use crate::lazy_queue::{Receiver, Sender, lazy_queue};
use crate::liveness::Liveness;
use crate::log::{LogError, Op, Outcome, Retention, RoomLog};
use crate::metrics::Metrics;

/// Commands that may wait for a room's worker.
const WAITING: u32 = 1_024;

/// What holds for every room of this node.
#[derive(Clone, Debug)]
pub struct RoomSettings {
    /// This node.
    pub node: NodeId,
    /// How long a lost socket may come back as the same member.
    pub grace: Duration,
    /// What the log keeps.
    pub retention: Retention,
    /// How much one member may have multiplied, in bytes.
    pub fanout: Rate,
}

/// What every room of this node stands on.
pub struct RoomContext {
    /// Where entries are kept.
    pub log: Arc<dyn RoomLog>,
    /// Which nodes are alive.
    pub liveness: Arc<Liveness>,
    /// What holds for every room.
    pub settings: RoomSettings,
    /// What the node counts.
    pub metrics: Arc<Metrics>,
}

/// The rooms of this node.
pub struct Rooms {
    context: Arc<RoomContext>,
    workers: Mutex<HashMap<RoomId, Sender<Command>>>,
}

/// The room's worker has more to do than may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// A way to one room's worker; it stays open as long as the room has members here.
#[derive(Clone)]
pub struct RoomHandle(Sender<Command>);

impl RoomHandle {
    /// Asks without waiting.
    ///
    /// # Errors
    /// [`Busy`] if too much is waiting, or the worker has just ended.
    pub fn ask(&self, command: Command) -> Result<(), Busy> {
        self.0.try_send(command).map_err(|_| Busy)
    }

    /// Asks, and waits for room if need be: for what may not be lost.
    pub async fn insist(&self, command: Command) {
        // A worker that has ended holds nothing of this member any more.
        let _ = self.0.send(command).await;
    }
}

impl Rooms {
    /// Makes an empty set of rooms.
    #[must_use]
    pub fn new(context: RoomContext) -> Arc<Self> {
        let silence = context.liveness.silence();
        let rooms = Arc::new(Self { context: Arc::new(context), workers: Mutex::default() });
        tokio::spawn(pass_on(silence, Arc::downgrade(&rooms)));
        rooms
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<RoomId, Sender<Command>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a room, which gets a worker if it has none.
    ///
    /// # Errors
    /// [`Busy`] if too much is waiting.
    pub fn enter(self: &Arc<Self>, room: &RoomId, command: Command) -> Result<RoomHandle, Busy> {
        let mut workers = self.workers();
        let sender = workers.entry(room.clone()).or_insert_with(|| self.start(room));
        // Under the lock, so that a worker that is about to end sees the command first.
        sender.try_send(command).map_err(|_| Busy)?;
        Ok(RoomHandle(sender.clone()))
    }

    /// Takes a step that no member asks for, and without the room's worker.
    ///
    /// # Errors
    /// [`LogError`]; whether it took effect is unknown then.
    pub async fn decide(&self, room: &RoomId, op: Op) -> Result<Outcome, LogError> {
        let outcomes = self.context.log.call(room, Seq(0), &[op]).await?;
        outcomes.into_iter().next().ok_or_else(|| LogError::Garbled("no answer".to_owned()))
    }

    fn all(&self) -> Vec<Sender<Command>> {
        self.workers().values().cloned().collect()
    }

    /// Waits until the log has answered everything that was asked of it so far.
    pub async fn wait_idle(&self) {
        for worker in self.all() {
            let (waiting, settled) = oneshot::channel();
            if worker.send(Command::WaitIdle(waiting)).await.is_ok() {
                // A worker that has ended has nothing under way.
                let _ = settled.await;
            }
        }
    }

    fn start(self: &Arc<Self>, room: &RoomId) -> Sender<Command> {
        let (sender, receiver) = lazy_queue(WAITING);
        self.context.metrics.rooms.inc();
        let worker = Worker::new(room.clone(), self.context.clone(), receiver);
        tokio::spawn(worker.run(self.clone()));
        sender
    }

    /// Lets go of a room, unless a command has come in since.
    pub(super) fn retire(&self, room: &RoomId, commands: &mut Receiver<Command>) -> bool {
        let mut workers = self.workers();
        if !commands.is_empty() {
            return false;
        }
        workers.remove(room);
        commands.close();
        self.context.metrics.rooms.dec();
        true
    }
}

/// Tells all rooms when another node has fallen silent.
async fn pass_on(mut silence: watch::Receiver<u64>, rooms: Weak<Rooms>) {
    while silence.changed().await.is_ok() {
        let Some(workers) = rooms.upgrade().map(|rooms| rooms.all()) else { return };
        for worker in workers {
            // A worker that has ended holds nobody any more.
            let _ = worker.send(Command::Suspect).await;
        }
    }
}
