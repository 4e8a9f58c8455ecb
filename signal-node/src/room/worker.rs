//! The one task that note_head the order of a room on this node.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use signal_protocol::{PeerId, RoomId, Seq};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::append_queue::{AppendQueue, CallResult, Requester};
use super::command::Command;
use super::fanout;
use super::log_cursor::{LogCursor, Next};
use super::members::Members;
use super::outcome::LostClaim;
use super::pending_joins::PendingJoin;
use super::registry::{RoomContext, Rooms};
use super::replay::Page;
use super::requests::refuse;
use super::timers::{Due, Timers};
use super::volatile_queue::VolatileQueue;
use crate::lazy_queue::Receiver;
use crate::log::{Batch, Entry, Feed, FeedEvent, LogError, Op};
use crate::metrics::GapCause;
use crate::pending_futures::PendingFutures;
use crate::resettable_timer::ResettableTimer;

/// Events and commands that are taken at a time, so that what belongs together goes in one call.
const AT_A_TIME: usize = 128;

/// Pause before a room is subscribed again that could not be.
const REOPEN_AFTER: Duration = Duration::from_millis(500);

/// One room on this node.
pub(super) struct Worker {
    pub(super) room: RoomId,
    pub(super) context: Arc<RoomContext>,
    pub(super) members: Members,
    pub(super) queue: AppendQueue,
    pub(super) volatile_queue: VolatileQueue,
    pub(super) cursor: LogCursor,
    pub(super) timers: Timers,
    /// How many members the room has on all nodes.
    pub(super) room_size: usize,
    /// Joins whose outcome is known and whose entry has not been reached.
    pub(super) pending_joins: BTreeMap<Seq, Box<PendingJoin>>,
    /// Joins that are made again in a moment.
    pub(super) later: PendingFutures<'static, Command>,
    /// Members that are still being told what they missed.
    pub(super) replays: PendingFutures<'static, Page>,
    /// Members that the log says are not ours any more, until it tells us why.
    pub(super) lost_claims: Vec<LostClaim>,
    /// The last entry that is known to be in the log.
    known: Seq,
    /// What was known when we began to wait for its echo.
    awaited: Seq,
    /// The reset with which this node last put back what the log had lost.
    pub(super) reset_at: Seq,
    commands: Receiver<Command>,
    /// Who waits until nothing is under way.
    idle_waiters: Vec<oneshot::Sender<()>>,
    /// A new subscription, where the old one is deaf.
    reopening: Option<BoxFuture<'static, Result<Feed, LogError>>>,
    /// What the log has grown by since it was last trimmed.
    grown: (usize, usize),
}

impl Worker {
    pub(super) fn new(
        room: RoomId,
        context: Arc<RoomContext>,
        commands: Receiver<Command>,
    ) -> Self {
        Self {
            members: Members::default(),
            queue: AppendQueue::default(),
            volatile_queue: VolatileQueue::default(),
            cursor: LogCursor::default(),
            timers: Timers::default(),
            room_size: 0,
            pending_joins: BTreeMap::new(),
            later: PendingFutures::default(),
            replays: PendingFutures::default(),
            lost_claims: Vec::new(),
            known: Seq::default(),
            awaited: Seq::default(),
            reset_at: Seq::default(),
            idle_waiters: Vec::new(),
            reopening: None,
            grown: (0, 0),
            room,
            context,
            commands,
        }
    }

    /// Works until the room has had no members here for a while.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` would hold the worker twice")]
    pub(super) fn run(mut self, rooms: Arc<Rooms>) -> impl Future<Output = ()> + Send {
        async move {
            let opened = self.context.log.open(&self.room).await;
            let mut feed = opened.map_err(|error| self.not_subscribed(&error)).ok();
            if let Some(feed) = &mut feed {
                self.work(feed, &rooms).await;
            }
            self.give_up(&rooms);
        }
    }

    fn not_subscribed(&self, error: &LogError) {
        warn!(room.id = %self.room, %error, "room {} could not be subscribed", self.room);
    }

    async fn work(&mut self, feed: &mut Feed, rooms: &Rooms) {
        let mut alarm = ResettableTimer::default();
        loop {
            alarm.set(self.timers.next());
            // Polled one by one: futures of each kind would take room in every idle room.
            tokio::select! {
                event = poll_fn(|context| feed.poll_next(context)) => match event {
                    Some(event) => self.on_events(event, feed),
                    None => return,
                },
                landed = poll_fn(|context| self.queue.poll_answer(context)) => self.landed(landed),
                () = poll_fn(|context| self.volatile_queue.poll_answer(context)) => {}
                () = poll_fn(|context| self.cursor.poll_read(context)) => {}
                page = poll_fn(|context| self.replays.poll_next(context)) => self.replay(page),
                command = poll_fn(|context| self.later.poll_next(context)) => self.handle_command(command),
                opened = poll_fn(|context| poll_reopened(&mut self.reopening, context)) => {
                    if let Some(opened) = self.reopened(opened) {
                        *feed = opened;
                    }
                }
                command = poll_fn(|context| self.commands.poll_recv(context)) => match command {
                    Some(command) => self.handle_commands(command),
                    None => return,
                },
                () = poll_fn(|context| alarm.poll_expired(context)) => if self.tick(rooms) { return },
            }
            self.advance();
            self.queue.send_next(&self.context.log, &self.room, self.cursor.position());
            self.volatile_queue.send_next(&self.context.log, &self.room);
            self.tell_settled();
            self.timers.retire(self.is_idle());
        }
    }

    /// Hears an event, and what came with it.
    fn on_events(&mut self, event: FeedEvent, feed: &mut Feed) {
        self.on_event(event);
        for _ in 1..AT_A_TIME {
            let Some(event) = feed.next_now() else { break };
            self.on_event(event);
        }
    }

    /// Obeys a command, and those that came with it.
    fn handle_commands(&mut self, command: Command) {
        self.handle_command(command);
        for _ in 1..AT_A_TIME {
            let Some(command) = self.commands.try_recv() else { break };
            self.handle_command(command);
        }
    }

    /// Answers who waits until nothing is under way.
    fn tell_settled(&mut self) {
        if self.queue.is_idle() {
            for waiting in self.idle_waiters.drain(..) {
                // Who does not wait any more need not be told.
                let _ = waiting.send(());
            }
        }
    }

    fn is_idle(&self) -> bool {
        let nobody = self.members.is_empty() && self.pending_joins.is_empty();
        nobody && self.queue.is_idle() && self.later.is_empty()
    }

    /// Answers whoever is still waiting, and lets go of the room.
    fn give_up(&mut self, rooms: &Rooms) {
        loop {
            while let Some(command) = self.commands.try_recv() {
                refuse(&self.room, command);
            }
            if self.commands.is_closed() || rooms.retire(&self.room, &mut self.commands) {
                break;
            }
        }
        self.disconnect_members();
        debug!(room.id = %self.room, "room {} has no members here any more", self.room);
    }

    /// Notes who waits until nothing is under way.
    pub(super) fn wait_idle(&mut self, waiting: oneshot::Sender<()>) {
        self.idle_waiters.push(waiting);
    }

    fn on_event(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Batch(batch) => {
                if !self.cursor.arrived(batch) {
                    self.context.metrics.gap(GapCause::Held);
                }
            }
            FeedEvent::Volatile(volatiles) => {
                for volatile in &*volatiles {
                    fanout::tell(&mut self.members, &self.room, volatile);
                }
            }
            FeedEvent::Gap => {
                self.context.metrics.gap(GapCause::Feed);
                self.compare();
            }
        }
    }

    /// Reads what may have been missed, and asks whether the log still reaches as far as we do.
    fn compare(&mut self) {
        self.cursor.missed();
        self.tend();
    }

    fn landed(&mut self, landed: CallResult) {
        match landed {
            CallResult::Answered(answers, repeated) => self.answered_all(answers, repeated),
            CallResult::RolledBack(steps) => self.rolled_back(steps),
            CallResult::Failed(requesters, error) => {
                warn!(room.id = %self.room, %error, "a call for room {} failed", self.room);
                for requester in requesters {
                    self.fail(requester);
                }
            }
            CallResult::Repeated(error) => {
                self.context.metrics.log_repeats.inc();
                debug!(room.id = %self.room, %error, "a call for room {} is made again", self.room);
                self.fail_waiting();
            }
        }
    }

    /// Notes that the log reaches at least so far; what we do not on_event of it in time, we are deaf to.
    pub(super) fn note_head(&mut self, seq: Seq) {
        self.known = self.known.max(seq);
        if !self.timers.awaits_echo() {
            self.await_echo();
        }
    }

    fn await_echo(&mut self) {
        if self.known > self.cursor.position() {
            self.awaited = self.known;
            self.timers.echo();
        }
    }

    /// Reads what is known to be in the log and has not come; subscribes again, if nothing else explains it.
    fn listen_again(&mut self) {
        if self.awaited > self.cursor.position() {
            if self.cursor.is_caught_up() && self.reopening.is_none() {
                self.context.metrics.gap(GapCause::Deaf);
                warn!(room.id = %self.room, "the subscription of room {} is deaf; subscribing again", self.room);
                self.reopen(Duration::ZERO);
            }
            self.cursor.missed();
        }
        self.await_echo();
    }

    fn reopen(&mut self, after: Duration) {
        let (log, room) = (self.context.log.clone(), self.room.clone());
        self.reopening = Some(Box::pin(async move {
            tokio::time::sleep(after).await;
            log.open(&room).await
        }));
    }

    fn reopened(&mut self, opened: Result<Feed, LogError>) -> Option<Feed> {
        self.reopening = None;
        if opened.is_err() {
            // The old subscription is given up already.
            self.reopen(REOPEN_AFTER);
        }
        self.cursor.missed();
        opened.ok()
    }

    /// Delivers everything that can be delivered now.
    fn advance(&mut self) {
        loop {
            match self.cursor.next(&self.context.log, &self.room) {
                Next::Batch(batch) if self.awaits_outcome(&batch) => {
                    self.cursor.unread(batch);
                    break;
                }
                Next::Batch(batch) => self.deliver(&batch),
                Next::Lost => {
                    self.disconnect_members();
                    self.disconnect_passed_joins();
                }
                Next::Broken => {
                    self.restore();
                    break;
                }
                Next::Nothing => break,
            }
        }
        self.resolve_lost_claims();
    }

    /// Tells whether the batch holds a join of ours whose outcome is not known yet; it brings the roster.
    fn awaits_outcome(&self, batch: &Batch) -> bool {
        batch.entries.iter().any(|entry| {
            matches!(entry, Entry::Joined { peer, node, .. }
                if *node == self.context.settings.node && self.queue.is_joining(peer))
        })
    }

    fn deliver(&mut self, batch: &Batch) {
        for (seq, entry) in batch.numbered() {
            let before = self.cursor.position();
            self.cursor.delivered(seq);
            self.apply_entry(before, seq, entry);
            fanout::deliver(&mut self.members, &self.room, seq, entry);
            self.members.count(&self.room, seq);
        }
        self.grown = (self.grown.0 + batch.entries.len(), self.grown.1 + batch.bytes());
        let keep = &self.context.settings.retention;
        if self.grown.0 > keep.length / 8 || self.grown.1 > keep.bytes / 8 {
            self.tend();
        }
        self.timers.position();
    }

    /// Trims the log, and asks where it ends.
    fn tend(&mut self) {
        self.grown = (0, 0);
        self.queue.push(Op::Tend, Requester::Housekeeping);
    }

    /// Does what is due; tells whether the room has ended here.
    fn tick(&mut self, rooms: &Rooms) -> bool {
        for due in self.timers.due(Instant::now()) {
            let position = self.cursor.position();
            match due {
                Due::Ack => self.members.ack_owed(&self.room, position),
                Due::Position => self.members.tell_position(&self.room, position),
                Due::Tend => self.tend(),
                Due::Echo => self.listen_again(),
                Due::Expire => self.expire(),
                Due::Retire => return rooms.retire(&self.room, &mut self.commands),
            }
        }
        if !self.members.is_empty() {
            self.timers.tend(self.context.settings.retention.room / 3);
        }
        false
    }

    /// Tells whether a member is here, or about to be.
    pub(super) fn holds(&self, peer: &PeerId) -> bool {
        self.members.get(peer).is_some()
            || self.queue.is_joining(peer)
            || self.pending_joins.values().any(|arrival| arrival.is_of(peer))
    }
}

/// Polls for a new subscription; never ready while none is under way.
fn poll_reopened(
    reopening: &mut Option<BoxFuture<'static, Result<Feed, LogError>>>,
    context: &mut Context<'_>,
) -> Poll<Result<Feed, LogError>> {
    match reopening {
        Some(opening) => opening.as_mut().poll(context),
        None => Poll::Pending,
    }
}
