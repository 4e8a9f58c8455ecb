//! One room on one node, as a machine without futures, clock or log.
//!
//! An [`Input`] and the time go in; frames go into the outboxes of the members, and what only a task can do comes out
//! as [`Effects`]. So every course of events that a cluster can take is a test of a few lines.
//!
//! A task hands in what has come, up to a hundred inputs at a time, with [`Replica::on`], and then calls
//! [`Replica::advance`] once: that is what makes one call to the log of all that came together.

use std::time::Duration;

use signal_protocol::RoomId;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use super::command::{Command, JoinCommand};
use super::context::Environment;
use super::effect::{Count, Effects, StepContext};
use super::local_room::LocalRoom;
use super::outcomes;
use super::replay::Replay;
use super::requester::Requester;
use super::timers::{Due, Timers};
use super::volatile_queue::VolatileQueue;
use super::{entries, requests, ringing, watching};
use crate::log::{Batch, FeedEvent, LogError, Op, Outcome};
use crate::metrics::GapCause;

/// Pause before a room is subscribed again whose last attempt failed.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);

/// What happens to a room.
pub enum Input {
    /// The subscription brought something.
    Event(FeedEvent),
    /// A session asks for something.
    Command(Command),
    /// A join is due again; see [`Effects::join_retries`].
    JoinDue(Box<JoinCommand>),
    /// The log answered the call in flight, whose ops come back.
    Answered(Vec<Op>, Result<Vec<Outcome>, LogError>),
    /// The log was read as [`Effects::read`] asked.
    Read(Vec<Batch>),
    /// Volatile signals were published, or lost.
    Published,
    /// More was read for a replay, or its socket has room again.
    ReplayPage(Box<Replay>),
    /// The log was not read for a replay.
    ReplayFailed(Box<Replay>),
    /// The room is subscribed again.
    Resubscribed,
    /// The room could not be subscribed again.
    ResubscribeFailed,
    /// [`Replica::next_deadline`] has come.
    Deadline,
}

/// One room on this node.
pub struct Replica {
    room: RoomId,
    local: LocalRoom,
    volatile_queue: VolatileQueue,
    timers: Timers,
    is_resubscribing: bool,
    /// Whether the log was asked, since the last join here, whether it still holds a member of this node.
    has_looked: bool,
    /// Each waits until nothing is on its way to the log.
    idle_waiters: Vec<oneshot::Sender<()>>,
}

impl Replica {
    /// A room that nobody is in.
    #[must_use]
    pub fn new(room: RoomId) -> Self {
        Self {
            room,
            local: LocalRoom::default(),
            volatile_queue: VolatileQueue::default(),
            timers: Timers::default(),
            is_resubscribing: false,
            has_looked: false,
            idle_waiters: Vec::new(),
        }
    }

    /// Returns the name of the room.
    #[must_use]
    pub fn room(&self) -> &RoomId {
        &self.room
    }

    /// Returns how many steps wait for their call to the log, or for its answer.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.local.queue.len()
    }

    /// Returns when [`Input::Deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Takes in what has happened. Delivers nothing yet and calls nobody: [`Self::advance`] does.
    pub fn on(&mut self, input: Input, environment: &Environment<'_>, effects: &mut Effects) {
        let (room, timers) = (&self.room, &mut self.timers);
        let step = &mut StepContext { room, environment: *environment, timers, effects };
        let local = &mut self.local;
        match input {
            Input::Event(event) => entries::on_event(local, step, event),
            Input::Command(command) => self.on_command(command, environment, effects),
            Input::JoinDue(join) => {
                local.joins.retried(&join.join.peer);
                if join.reply.outbox.is_closed() {
                    // A copy of it may have entered, which nobody waits for any more.
                    local.queue.push_housekeeping(Op::Inspect);
                } else {
                    requests::join(&mut local.members, &mut local.queue, step, *join);
                }
            }
            Input::Answered(ops, answer) => outcomes::on_answer(local, step, ops, answer),
            Input::Read(batches) => local.cursor.on_read(batches),
            Input::Published => self.volatile_queue.on_published(),
            Input::ReplayPage(replay) => entries::on_replay_page(local, step, *replay),
            Input::ReplayFailed(replay) => {
                if replay.member(&mut local.members).is_some() {
                    step.effects.replays.push(*replay);
                }
            }
            Input::Resubscribed => {
                self.is_resubscribing = false;
                local.cursor.missed();
                watching::ask_again(local);
                ringing::ask_again(local, step);
            }
            Input::ResubscribeFailed => {
                step.effects.resubscribe = Some(RESUBSCRIBE_AFTER);
                local.cursor.missed();
            }
            Input::Deadline => self.on_deadline(environment, effects),
        }
    }

    fn on_command(
        &mut self,
        command: Command,
        environment: &Environment<'_>,
        effects: &mut Effects,
    ) {
        let (room, timers) = (&self.room, &mut self.timers);
        let step = &mut StepContext { room, environment: *environment, timers, effects };
        let LocalRoom { members, queue, .. } = &mut self.local;
        match command {
            Command::Join(join) => {
                self.has_looked = false;
                requests::join(members, queue, step, *join);
            }
            Command::Ordered { id, what } => requests::ordered(members, queue, step, id, what),
            Command::Volatile(volatile) => {
                requests::volatile(members, &mut self.volatile_queue, step, volatile);
            }
            Command::Leave { peer, socket, reply } => {
                requests::leave(members, queue, step, (peer, socket), reply);
            }
            Command::Kick { peer, ban, reply } => {
                queue.push(Op::Kick { peer, ban }, Requester::Kick { reply });
            }
            Command::WaitIdle(waiter) => self.idle_waiters.push(waiter),
            Command::Suspect => requests::suspect(&mut self.local, step),
            Command::Watch(command) => watching::watch(&mut self.local, command),
            Command::Ring(command) => ringing::ring(&mut self.local, step, *command),
            Command::StepCall(command) => ringing::step_call(&mut self.local, step, *command),
            Command::EndCalls(socket) => self.local.calls.remove_socket(socket),
            Command::Unwatch(socket) => watching::unwatch(&mut self.local, socket),
            Command::Detach { peer, socket, is_going_away } => {
                requests::detach(members, queue, step, (&peer, socket), is_going_away);
            }
        }
    }

    fn on_deadline(&mut self, environment: &Environment<'_>, effects: &mut Effects) {
        let (now, settings) = (environment.now, environment.settings);
        for due in self.timers.due(now) {
            let LocalRoom { members, queue, cursor, .. } = &mut self.local;
            let position = cursor.position();
            match due {
                Due::Ack => members.ack_owed(&self.room, position),
                Due::Position => members.send_position(&self.room, position),
                Due::Trim | Due::Confirm => self.local.trim(),
                Due::Suspect | Due::Presence | Due::Calls => {
                    let (room, timers) = (&self.room, &mut self.timers);
                    let step =
                        &mut StepContext { room, environment: *environment, timers, effects };
                    on_local_due(&mut self.local, step, &due);
                }
                Due::Echo => self.check_echo(environment, effects),
                Due::Expire => requests::expire(queue, (&self.room, environment)),
                Due::GoneAway(by) => requests::gone_away(queue, environment, by),
                Due::Retire if self.has_looked => effects.retire = true,
                Due::Retire => {
                    self.has_looked = true;
                    queue.push_housekeeping(Op::Inspect);
                }
            }
        }
        if !self.local.members.is_empty() {
            self.timers.trim(now + settings.retention.room / 3);
        }
    }

    /// Reads what is known to be in the log and has not come; subscribes again, if nothing else explains it.
    fn check_echo(&mut self, environment: &Environment<'_>, effects: &mut Effects) {
        let cursor = &mut self.local.cursor;
        if cursor.is_echo_missing() {
            if cursor.is_caught_up() && !self.is_resubscribing {
                let room = &self.room;
                warn!(room.id = %room, "the subscription of room {room} is deaf; subscribing again");
                effects.counts.push(Count::Gap(GapCause::Deaf));
                effects.resubscribe = Some(Duration::ZERO);
                self.is_resubscribing = true;
            }
            cursor.missed();
        }
        cursor.await_echo(&mut self.timers, environment.now);
    }

    /// Delivers what can be delivered, and asks for what can be done next.
    pub fn advance(&mut self, environment: &Environment<'_>, effects: &mut Effects) {
        let (room, timers) = (&self.room, &mut self.timers);
        let step = &mut StepContext { room, environment: *environment, timers, effects };
        entries::advance(&mut self.local, step);
        watching::tell(&mut self.local, step);
        let LocalRoom { queue, cursor, .. } = &mut self.local;
        if let Some(call) = queue.next_call(cursor.seen(), environment.now) {
            effects.append = Some(call);
        }
        effects.publish = self.volatile_queue.take_next();
        if queue.is_idle() {
            for waiter in self.idle_waiters.drain(..) {
                // A drain that has given up does not wait any more.
                let _ = waiter.send(());
            }
        }
        self.timers.retire(self.local.is_idle(), self.has_looked, environment.now);
    }

    /// Starts anew after a panic, which may have left any part half changed.
    ///
    /// The members are closed with 4003 rather than kept: only the log knows what each of them was sent, and over a new
    /// socket it is asked. The queue stays, since the call in flight may have made members; so do its answers that were
    /// not looked at. What the members had queued still counts, and their detaches go behind it.
    pub fn rebuild(&mut self, environment: &Environment<'_>, effects: &mut Effects) {
        let mut old = std::mem::take(&mut self.local);
        old.disconnect_all(&self.room);
        self.local.queue = old.queue;
        self.local.joins = old.joins;
        self.local.presence = old.presence.take();
        self.local.calls = std::mem::take(&mut old.calls);
        watching::ask_again(&mut self.local);
        self.timers = Timers::default();
        let (room, timers) = (&self.room, &mut self.timers);
        let step = &mut StepContext { room, environment: *environment, timers, effects };
        outcomes::apply_answers(&mut self.local, step);
        ringing::ask_again(&mut self.local, step);
    }

    /// Ends the connections of the members, and the watches: the room ends here.
    pub fn close(&mut self) {
        self.local.disconnect_all(&self.room);
        if let Some(presence) = &mut self.local.presence {
            presence.close();
        }
        ringing::close(&mut self.local, &self.room);
    }
}

/// Does what is due of the members, watchers and callers here.
fn on_local_due(local: &mut LocalRoom, step: &mut StepContext<'_>, due: &Due) {
    match due {
        Due::Suspect => requests::suspect(local, step),
        Due::Presence => watching::on_due(local, step),
        Due::Calls => ringing::on_due(local, step),
        Due::Ack
        | Due::Position
        | Due::Trim
        | Due::Confirm
        | Due::Echo
        | Due::Expire
        | Due::GoneAway(_)
        | Due::Retire => {}
    }
}
