//! The task of one room: it waits for everything that a [`Replica`] cannot wait for, and does what the replica asks.
//!
//! The only file of the room with futures in it. It owns the subscription and every call to the log; what they bring
//! goes into the replica as an [`Input`].

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use signal_protocol::{RoomId, Seq};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, warn};

use super::append_queue::AppendCall;
use super::command::{Command, JoinCommand};
use super::context::{Environment, RoomContext};
use super::effect::Effects;
use super::replay::Replay;
use super::replica::{Input, Replica};
use super::replies::refuse_command;
use crate::lazy_queue::Receiver;
use crate::log::{Batch, Feed, LogError, Op, Outcome, Volatile};
use crate::metrics::{GaugeShare, VolatileDrop};
use crate::pending_futures::PendingFutures;
use crate::resettable_timer::ResettableTimer;

/// Events or commands that are taken in at a time, so that what comes together goes in one call.
const AT_A_TIME: usize = 128;

/// Batches that are read at once to fill a hole, and for one member that comes back.
const GAP_PAGE: usize = 64;
const REPLAY_PAGE: usize = 32;

/// Pause before a log that did not answer is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Pause before a join is handed in again whose member may be put back yet.
const JOIN_AGAIN_AFTER: Duration = Duration::from_millis(250);

type Answer = (Vec<Op>, Result<Vec<Outcome>, LogError>);

/// Takes a room off the list of rooms, unless a command has come in.
pub(super) trait Retire: Fn(&RoomId, &mut Receiver<Command>) -> bool + Send + Sync {}

impl<F: Fn(&RoomId, &mut Receiver<Command>) -> bool + Send + Sync> Retire for F {}

/// The task of one room. What is under way has a slot of its own: a collection would take room in every idle room.
pub(super) struct RoomTask {
    context: Arc<RoomContext>,
    commands: Receiver<Command>,
    replica: Replica,
    queued: GaugeShare,
    call: Option<BoxFuture<'static, Answer>>,
    read: Option<BoxFuture<'static, Vec<Batch>>>,
    publication: Option<BoxFuture<'static, ()>>,
    subscription: Option<BoxFuture<'static, Result<Feed, LogError>>>,
    /// Replays and joins that wait.
    others: PendingFutures<'static, Input>,
}

impl RoomTask {
    pub(super) fn new(
        room: RoomId,
        context: Arc<RoomContext>,
        commands: Receiver<Command>,
    ) -> Self {
        Self {
            queued: GaugeShare::new(&context.metrics.log_queued),
            context,
            commands,
            replica: Replica::new(room),
            call: None,
            read: None,
            publication: None,
            subscription: None,
            others: PendingFutures::default(),
        }
    }

    /// Runs until the room has had no members here for a while, and `retire` agrees that nobody has come since.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` would hold the task twice")]
    pub(super) fn run(mut self, retire: impl Retire) -> impl Future<Output = ()> + Send {
        async move {
            let room = self.replica.room();
            match guarded(&self.context, room, self.context.log.open(room)).await {
                Ok(mut feed) => self.work(&mut feed, &retire).await,
                Err(error) => warn!(room.id = %room, %error, "room {room} could not be subscribed"),
            }
            self.end(&retire);
        }
    }

    async fn work(&mut self, feed: &mut Feed, retire: &impl Retire) {
        let mut timer = ResettableTimer::default();
        loop {
            timer.set(self.replica.next_deadline());
            let input = tokio::select! {
                event = poll_fn(|context| feed.poll_next(context)) => match event {
                    Some(event) => Input::Event(event),
                    None => return,
                },
                (ops, answer) = poll_fn(|context| poll_slot(&mut self.call, context)) => {
                    Input::Answered(ops, answer)
                }
                () = poll_fn(|context| poll_slot(&mut self.publication, context)) => Input::Published,
                found = poll_fn(|context| poll_slot(&mut self.read, context)) => Input::Read(found),
                input = poll_fn(|context| self.others.poll_next(context)) => input,
                opened = poll_fn(|context| poll_slot(&mut self.subscription, context)) => match opened {
                    Ok(opened) => {
                        *feed = opened;
                        Input::Resubscribed
                    }
                    Err(_) => Input::ResubscribeFailed,
                },
                command = poll_fn(|context| self.commands.poll_recv(context)) => match command {
                    Some(command) => Input::Command(command),
                    None => return,
                },
                () = poll_fn(|context| timer.poll_expired(context)) => Input::Deadline,
            };
            if self.step(input, feed, retire) {
                return;
            }
        }
    }

    /// Takes one step of the replica; tells whether the room has ended.
    ///
    /// A panic ends the room's members here, not the room: the effects that were noted before it are carried out, since
    /// the queue counts on the call among them.
    fn step(&mut self, input: Input, feed: &mut Feed, retire: &impl Retire) -> bool {
        let Self { context, commands, replica, .. } = self;
        let (settings, cluster) = (&context.settings, &*context.liveness);
        let environment = &Environment { now: Instant::now(), settings, cluster };
        let mut effects = Effects::default();
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let mut next = Some(input);
            for _ in 1..AT_A_TIME {
                let Some(input) = next else { break };
                let more = Source::of(&input);
                replica.on(input, environment, &mut effects);
                next = more.next(feed, commands);
            }
            if let Some(input) = next {
                replica.on(input, environment, &mut effects);
            }
            replica.advance(environment, &mut effects);
        }));
        if let Err(panic) = stepped {
            context.metrics.room_panics.inc();
            let (room, panic) = (replica.room(), panic_text(&*panic));
            error!(room.id = %room, "room {room} panicked and starts anew from the log: {panic}");
            replica.rebuild(environment, &mut effects);
            replica.advance(environment, &mut effects);
        }
        self.perform(effects, retire)
    }

    /// Does what the replica asks; tells whether the room has ended.
    fn perform(&mut self, effects: Effects, retire: &impl Retire) -> bool {
        let context = &self.context;
        self.queued.set(self.replica.queued());
        effects.counts.into_iter().for_each(|count| count.add_to(&context.metrics));
        if !effects.watch.is_empty() {
            context.liveness.watch(&effects.watch);
        }
        let room = self.replica.room();
        effects.history.into_iter().for_each(|event| context.timelines.record(room, event));
        if let Some(call) = effects.append {
            self.call = Some(append(context.clone(), room.clone(), call));
        }
        if let Some(after) = effects.read {
            self.read = Some(read(context.clone(), room.clone(), after));
        }
        if !effects.publish.is_empty() {
            self.publication = Some(publish(context.clone(), room.clone(), effects.publish));
        }
        if let Some(after) = effects.resubscribe {
            self.subscription = Some(subscribe(context.clone(), room.clone(), after));
        }
        for replay in effects.replays {
            self.others.push(read_for(context.clone(), room.clone(), replay));
        }
        for join in effects.join_retries {
            self.others.push(join_later(join));
        }
        effects.retire && retire(room, &mut self.commands)
    }

    /// Answers the commands that still wait, and ends the room.
    fn end(&mut self, retire: &impl Retire) {
        let room = self.replica.room();
        loop {
            while let Some(command) = self.commands.try_recv() {
                refuse_command(room, command);
            }
            if self.commands.is_closed() || retire(room, &mut self.commands) {
                break;
            }
        }
        debug!(room.id = %room, "room {room} has no members here any more");
        self.replica.close();
    }
}

/// Where an input came from, and where more of its kind may wait.
#[derive(Clone, Copy)]
enum Source {
    Feed,
    Commands,
    Single,
}

impl Source {
    fn of(input: &Input) -> Self {
        match input {
            Input::Event(_) => Self::Feed,
            Input::Command(_) => Self::Commands,
            Input::JoinDue(_)
            | Input::Answered(..)
            | Input::Read(_)
            | Input::Published
            | Input::ReplayPage(_)
            | Input::ReplayFailed(_)
            | Input::Resubscribed
            | Input::ResubscribeFailed
            | Input::Deadline => Self::Single,
        }
    }

    /// Takes out what came with the last input.
    fn next(self, feed: &mut Feed, commands: &mut Receiver<Command>) -> Option<Input> {
        match self {
            Self::Feed => feed.next_now().map(Input::Event),
            Self::Commands => commands.try_recv().map(Input::Command),
            Self::Single => None,
        }
    }
}

/// Polls a future that may not be there; never ready while there is none.
fn poll_slot<T>(slot: &mut Option<BoxFuture<'static, T>>, context: &mut Context<'_>) -> Poll<T> {
    let Some(future) = slot else { return Poll::Pending };
    let output = ready!(future.as_mut().poll(context));
    *slot = None;
    Poll::Ready(output)
}

fn append(context: Arc<RoomContext>, room: RoomId, call: AppendCall) -> BoxFuture<'static, Answer> {
    let AppendCall { seen, ops, after } = call;
    Box::pin(async move {
        if !after.is_zero() {
            sleep(after).await;
        }
        let answer = guarded(&context, &room, context.log.call(&room, seen, &ops)).await;
        (ops, answer)
    })
}

fn read(context: Arc<RoomContext>, room: RoomId, after: Seq) -> BoxFuture<'static, Vec<Batch>> {
    Box::pin(async move {
        loop {
            let found = guarded(&context, &room, context.log.read(&room, after, GAP_PAGE)).await;
            if let Ok(batches) = found {
                return batches;
            }
            sleep(READ_AGAIN_AFTER).await;
        }
    })
}

fn publish(
    context: Arc<RoomContext>,
    room: RoomId,
    volatiles: Vec<Volatile>,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        if let Err(error) =
            guarded(&context, &room, context.log.publish_volatile(&room, &volatiles)).await
        {
            context.metrics.volatile_dropped(VolatileDrop::Log, volatiles.len());
            debug!(room.id = %room, %error, "volatile signals in room {room} were lost");
        }
    })
}

fn subscribe(
    context: Arc<RoomContext>,
    room: RoomId,
    after: Duration,
) -> BoxFuture<'static, Result<Feed, LogError>> {
    Box::pin(async move {
        sleep(after).await;
        guarded(&context, &room, context.log.open(&room)).await
    })
}

/// Reads on for a replay once its socket has room.
async fn read_for(context: Arc<RoomContext>, room: RoomId, mut replay: Replay) -> Input {
    let outbox = replay.outbox().clone();
    outbox.emptied().await;
    if let Some(after) = replay.read_after() {
        let found = guarded(&context, &room, context.log.read(&room, after, REPLAY_PAGE)).await;
        let Ok(batches) = found else {
            sleep(READ_AGAIN_AFTER).await;
            return Input::ReplayFailed(Box::new(replay));
        };
        replay.fill(batches);
    }
    Input::ReplayPage(Box::new(replay))
}

async fn join_later(join: JoinCommand) -> Input {
    sleep(JOIN_AGAIN_AFTER).await;
    Input::JoinDue(Box::new(join))
}

/// Waits for the log. A panic of its client is counted, and is an answer that nobody understands.
async fn guarded<T>(
    context: &RoomContext,
    room: &RoomId,
    answer: impl Future<Output = Result<T, LogError>>,
) -> Result<T, LogError> {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(answer) => answer,
        Err(panic) => {
            context.metrics.room_panics.inc();
            let panic = panic_text(&*panic);
            error!(room.id = %room, "a call to the log of room {room} panicked: {panic}");
            Err(LogError::UnexpectedReply(format!("the client panicked: {panic}")))
        }
    }
}

/// Returns the text of a panic, which `panic!` and `expect` give as one of two types.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
