//! The rooms that have a task on this node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use prometheus::IntGauge;
use signal_protocol::{RoomId, Seq};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::command::Command;
use super::context::RoomContext;
use super::fanout::is_inbox;
use super::outbox::Outbox;
use super::task::RoomTask;
use crate::lazy_queue::{Receiver, Sender, Unsent, lazy_queue};
use crate::liveness::Liveness;
use crate::log::{Judgement, LogError, Op, Outcome, RoomLog};
use crate::room_quota::{Client, QuotaExceeded, RoomPermit, RoomQuota, RoomQuotas};
use crate::send_budget::{SendBudgets, SendRates};
use crate::timeline::Recorder;

/// Commands that may wait for a room's task.
const WAITING: u32 = 1_024;

/// What a watch counts as in the budget of its client: a subscription, a call to the log and the frame that tells the presence.
const WATCH_BYTES: usize = 1_024;

/// The rooms of this node.
pub struct Rooms {
    context: Arc<RoomContext>,
    tasks: Mutex<HashMap<RoomId, Sender<Command>>>,
    /// What each subject may have sent, over all of its connections here.
    pub budgets: SendBudgets,
    quotas: RoomQuotas,
}

/// The room's task has as many commands waiting as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Sends commands to one room's task, which runs as long as the room has members here.
#[derive(Clone)]
pub struct RoomHandle(Sender<Command>);

impl RoomHandle {
    /// Sends a command without waiting.
    ///
    /// # Errors
    /// [`Busy`] if too much is waiting, or the task has just ended.
    pub fn ask(&self, command: Command) -> Result<(), Busy> {
        self.0.try_send(command).map_err(|_| Busy)
    }

    /// Sends a command that must not be lost: waits while the queue is full.
    pub async fn insist(&self, command: Command) {
        // A task that has ended holds nothing of this member any more.
        let _ = self.0.send(command).await;
    }
}

impl Rooms {
    /// Makes an empty set of rooms.
    #[must_use]
    pub fn new(context: RoomContext) -> Arc<Self> {
        let silence = context.liveness.silence();
        let rooms = Arc::new(Self {
            context: Arc::new(context),
            tasks: Mutex::default(),
            budgets: SendBudgets::default(),
            quotas: RoomQuotas::default(),
        });
        tokio::spawn(forward_suspicions(silence, Arc::downgrade(&rooms)));
        rooms
    }

    /// Returns the log, and what is known of the other nodes, for what nodes say to each other.
    pub(crate) fn log(&self) -> (Arc<dyn RoomLog>, Arc<Liveness>) {
        (self.context.log.clone(), self.context.liveness.clone())
    }

    /// Returns what records the timelines of the rooms.
    pub(crate) fn timelines(&self) -> &Recorder {
        &self.context.timelines
    }

    /// Counts one connection of a client in a room.
    ///
    /// # Errors
    /// [`QuotaExceeded`] if the client is in `most` others.
    pub fn permit(
        &self,
        client: Client,
        room: &RoomId,
        most: usize,
    ) -> Result<RoomPermit, QuotaExceeded> {
        let (now, remembered) = (Instant::now(), self.context.settings.retention.room);
        self.quotas.of(client, now).enter(room, RoomQuota { most, remembered }, now)
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<RoomId, Sender<Command>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a command to a room, which gets a task if it has none.
    ///
    /// # Errors
    /// [`Busy`] if too much is waiting.
    pub fn enter(self: &Arc<Self>, room: &RoomId, command: Command) -> Result<RoomHandle, Busy> {
        let mut tasks = self.tasks();
        let sender = tasks.entry(room.clone()).or_insert_with(|| {
            self.gauge(room).inc();
            self.start(room)
        });
        // Under the lock, so that a task that is about to end sees the command first.
        match sender.try_send(command) {
            Ok(()) => {}
            Err(Unsent::Full(_)) => return Err(Busy),
            // A task takes its room off the list before it ends, unless it panicked beyond recovery.
            Err(Unsent::Closed(command)) => {
                *sender = self.start(room);
                sender.try_send(command).map_err(|_| Busy)?;
            }
        }
        Ok(RoomHandle(sender.clone()))
    }

    /// Makes one call of a back end, without the room's task.
    ///
    /// # Errors
    /// [`LogError`]; whether the op took effect is unknown then.
    pub async fn decide(&self, room: &RoomId, op: Op) -> Result<Outcome, LogError> {
        let outcomes = self.context.log.call(room, Seq(0), &[op]).await?;
        outcomes.into_iter().next().ok_or_else(|| LogError::UnexpectedReply("no answer".to_owned()))
    }

    /// Takes what it costs to watch so many users out of the budget of whoever holds this socket.
    ///
    /// # Errors
    /// How long to wait before it may be.
    pub fn charge_watch(&self, outbox: &Outbox, users: usize) -> Result<(), Duration> {
        let now = Instant::now();
        outbox.budget(now).take(self.send_rates(), WATCH_BYTES, users, now)
    }

    /// Returns the rates of every budget.
    pub(super) fn send_rates(&self) -> SendRates {
        self.context.settings.send_rates
    }

    /// Returns which nodes are silent, and how long a member of this room may be away.
    pub(super) fn judgement_for(&self, room: &RoomId) -> (Duration, Judgement) {
        (self.context.settings.grace_of(room), self.context.liveness.judgement())
    }

    /// Returns the rooms that have a task here.
    pub(crate) fn names(&self) -> Vec<RoomId> {
        self.tasks().keys().cloned().collect()
    }

    fn all(&self) -> Vec<Sender<Command>> {
        self.tasks().values().cloned().collect()
    }

    /// Waits until the log has answered everything that was asked of it so far.
    pub async fn wait_idle(&self) {
        for task in self.all() {
            let (waiter, idle) = oneshot::channel();
            if task.send(Command::WaitIdle(waiter)).await.is_ok() {
                // A task that has ended has nothing in flight.
                let _ = idle.await;
            }
        }
    }

    fn start(self: &Arc<Self>, room: &RoomId) -> Sender<Command> {
        let (sender, receiver) = lazy_queue(WAITING);
        let task = RoomTask::new(room.clone(), self.context.clone(), receiver);
        let rooms = self.clone();
        tokio::spawn(task.run(move |room, commands| rooms.retire(room, commands)));
        sender
    }

    /// Takes a room off the list, unless a command has come in since.
    fn retire(&self, room: &RoomId, commands: &mut Receiver<Command>) -> bool {
        let mut tasks = self.tasks();
        if !commands.is_empty() {
            return false;
        }
        tasks.remove(room);
        commands.close();
        self.gauge(room).dec();
        true
    }

    fn gauge(&self, room: &RoomId) -> &IntGauge {
        let metrics = &self.context.metrics;
        if is_inbox(room) { &metrics.presence.inboxes } else { &metrics.rooms }
    }
}

/// Has every room mark the members of nodes away whose heartbeat has stopped.
async fn forward_suspicions(mut silence: watch::Receiver<u64>, rooms: Weak<Rooms>) {
    while silence.changed().await.is_ok() {
        let Some(tasks) = rooms.upgrade().map(|rooms| rooms.all()) else { return };
        for task in tasks {
            // A task that has ended holds nobody any more.
            let _ = task.send(Command::Suspect).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness::{key, room, room_settings};
    use super::super::{JoinCommand, Outbox, Reply};
    use super::*;
    use crate::liveness::Liveness;
    use crate::log::Join;
    use crate::log::memory::MemoryLog;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn a_room_whose_task_is_dead_gets_another_one() {
        let settings = room_settings();
        let log = Arc::new(MemoryLog::new(settings.retention));
        let (liveness, metrics) = (Liveness::alone(), Arc::new(Metrics::new()));
        let rooms =
            Rooms::new(RoomContext { log, liveness, settings, metrics, timelines: Arc::default() });
        let (sender, receiver) = lazy_queue(1);
        drop(receiver);
        rooms.tasks().insert(room(), sender);
        let outbox = Arc::new(Outbox::new(1 << 20));
        let reply = Reply { outbox: outbox.clone(), id: None };
        let join = Join::simple(&key('A'), 1, room_settings().node);
        let join = Command::Join(Box::new(JoinCommand { join, ice: None, reply }));
        rooms.enter(&room(), join).unwrap();
        outbox.filled().await;
        assert!(outbox.pop().unwrap().unwrap().frame.starts_with(br#"{"type":"joined""#));
    }
}
