//! The steps that wait for the log, and the one call to it that is in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use signal_protocol::{IceServers, Mid, PeerId, RoomId, Seq};
use tokio::time::Instant;

use super::command::Reply;
use crate::log::{Claim, LogError, Op, Outcome, RoomLog, SocketId};

/// Steps that go in one call, and bytes, so that a busy room does not hold Redis for long.
const STEPS_PER_CALL: usize = 128;
const BYTES_PER_CALL: usize = 128 * 1024;

/// What may wait for its call in one room; more is refused, and may be tried again.
const WAITING_STEPS: usize = 4_096;
const WAITING_BYTES: usize = 8 * 1024 * 1024;

/// A call that has been under way for this long, and failed once, is failing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Pause before an unanswered call is made again, and its bound.
const REPEAT_AFTER: Duration = Duration::from_millis(100);
const REPEAT_AFTER_MAX: Duration = Duration::from_millis(500);

/// To whom the outcome of a step matters.
pub(super) enum Requester {
    /// A join.
    Join { peer: PeerId, ice: Option<Arc<IceServers>>, reply: Reply },
    /// A kept message.
    Ordered { peer: PeerId, socket: SocketId, mid: Mid, refusal: Option<String> },
    /// A leave.
    Leave { peer: PeerId, reply: Reply },
    /// A kick; whether its call had to be made again.
    Kick { reply: Reply },
    /// Nobody.
    Housekeeping,
}

/// A step that waits for its call.
pub(super) struct QueuedOp {
    pub(super) op: Op,
    pub(super) requester: Requester,
}

impl QueuedOp {
    /// A step whose outcome matters to nobody.
    pub(super) fn housekeeping(op: Op) -> Self {
        Self { op, requester: Requester::Housekeeping }
    }
}

type Answer = (Vec<Op>, Result<Vec<Outcome>, LogError>);

/// The call that is under way.
struct InFlightCall {
    log: Arc<dyn RoomLog>,
    room: RoomId,
    requesters: Vec<Requester>,
    seen: Seq,
    began: Instant,
    repeated: u32,
    /// Whether it puts back what the log has lost.
    mends: bool,
    answer: BoxFuture<'static, Answer>,
}

/// The steps of a room: those that wait, and those in the one call under way.
#[derive(Default)]
pub(super) struct AppendQueue {
    waiting: VecDeque<QueuedOp>,
    waiting_bytes: usize,
    flight: Option<Box<InFlightCall>>,
}

/// How a call ended for good.
pub(super) enum CallResult {
    /// There is one outcome for each step; and whether the call had to be made again.
    Answered(Vec<(QueuedOp, Outcome)>, bool),
    /// Nothing happened: the log has lost what was seen of it.
    RolledBack(Vec<QueuedOp>),
    /// The log said something we do not understand.
    Failed(Vec<Requester>, LogError),
    /// It is made again.
    Repeated(LogError),
}

impl AppendQueue {
    /// Queues a step.
    pub(super) fn push(&mut self, op: Op, requester: Requester) {
        self.waiting_bytes += op.bytes();
        self.waiting.push_back(QueuedOp { op, requester });
    }

    /// Queues steps before all others, in their order.
    pub(super) fn push_front(&mut self, steps: Vec<QueuedOp>) {
        for step in steps.into_iter().rev() {
            self.waiting_bytes += step.op.bytes();
            self.waiting.push_front(step);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.flight.is_none()
    }

    /// Tells whether as much is waiting as may.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_STEPS || self.waiting_bytes >= WAITING_BYTES
    }

    /// Tells whether the call under way fails for longer than a hiccup.
    pub(super) fn is_failing(&self) -> bool {
        self.flight.as_ref().is_some_and(|f| f.repeated > 0 && f.began.elapsed() >= PATIENCE)
    }

    /// Tells whether what the log has lost is being put back, or is the next thing to be.
    pub(super) fn is_recovering(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.mends)
            || self.waiting.front().is_some_and(|step| step.op.mends())
    }

    /// Tells whether a join of `peer` is in the call under way: its entry may activate before its outcome.
    pub(super) fn is_joining(&self, peer: &PeerId) -> bool {
        let requesters = self.flight.iter().flat_map(|flight| &flight.requesters);
        requesters
            .into_iter()
            .any(|requester| matches!(requester, Requester::Join { peer: p, .. } if p == peer))
    }

    /// Gives what waits of a member the generation that a suspicion has given its claim.
    pub(super) fn renew(&mut self, old: &Claim, generation: Seq) {
        for step in &mut self.waiting {
            if let Some(by) = step.op.claim_mut().filter(|by| **by == *old) {
                by.generation = generation;
            }
        }
    }

    /// Gives back the waiting steps that `pick` names; their outcome is certain: nothing happened.
    pub(super) fn withdraw(&mut self, pick: impl Fn(&Requester) -> bool) -> Vec<Requester> {
        let (out, stay): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|step| pick(&step.requester));
        self.waiting_bytes = stay.iter().map(|step| step.op.bytes()).sum();
        self.waiting = stay.into();
        out.into_iter().map(|step| step.requester).collect()
    }

    /// Makes a call of what waits, unless one is under way.
    pub(super) fn send_next(&mut self, log: &Arc<dyn RoomLog>, room: &RoomId, seen: Seq) {
        if self.flight.is_some() || self.waiting.is_empty() {
            return;
        }
        let (mut count, mut bytes) = (0, 0);
        for step in self.waiting.iter().take(STEPS_PER_CALL) {
            bytes += step.op.bytes();
            if count > 0 && bytes > BYTES_PER_CALL {
                break;
            }
            count += 1;
        }
        let steps = self.waiting.drain(..count);
        let (ops, requesters): (Vec<_>, _) = steps.map(|step| (step.op, step.requester)).unzip();
        self.waiting_bytes -= ops.iter().map(Op::bytes).sum::<usize>();
        if self.waiting.is_empty() {
            // An idle room owns no queue.
            self.waiting = VecDeque::new();
        }
        let mends = ops.first().is_some_and(Op::mends);
        let (log, room, began) = (log.clone(), room.clone(), Instant::now());
        let answer = call(log.clone(), room.clone(), seen, ops, Duration::ZERO);
        let flight =
            InFlightCall { log, room, requesters, seen, began, repeated: 0, mends, answer };
        self.flight = Some(Box::new(flight));
    }

    /// Polls the call under way; never ready while there is none.
    pub(super) fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<CallResult> {
        let Some(flight) = &mut self.flight else { return Poll::Pending };
        let (ops, answer) = ready!(flight.answer.as_mut().poll(context));
        Poll::Ready(match answer {
            Err(error @ LogError::Unavailable(_)) => self.repeat(ops, error),
            answer => self.end(ops, answer),
        })
    }

    fn end(&mut self, ops: Vec<Op>, answer: Result<Vec<Outcome>, LogError>) -> CallResult {
        let Some(flight) = self.flight.take() else { return CallResult::RolledBack(Vec::new()) };
        let InFlightCall { requesters, repeated, .. } = *flight;
        let steps =
            ops.into_iter().zip(requesters).map(|(op, requester)| QueuedOp { op, requester });
        match answer {
            Ok(outcomes) => CallResult::Answered(steps.zip(outcomes).collect(), repeated > 0),
            Err(LogError::RolledBack { .. }) => CallResult::RolledBack(steps.collect()),
            Err(error) => CallResult::Failed(steps.map(|step| step.requester).collect(), error),
        }
    }

    /// Makes the same call again: what became of the first one is unknown, and two are as good as one.
    fn repeat(&mut self, ops: Vec<Op>, error: LogError) -> CallResult {
        if let Some(flight) = &mut self.flight {
            flight.repeated += 1;
            let pause = (REPEAT_AFTER * flight.repeated).min(REPEAT_AFTER_MAX);
            flight.answer = call(flight.log.clone(), flight.room.clone(), flight.seen, ops, pause);
        }
        CallResult::Repeated(error)
    }
}

fn call(
    log: Arc<dyn RoomLog>,
    room: RoomId,
    seen: Seq,
    ops: Vec<Op>,
    after: Duration,
) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        let answer = log.call(&room, seen, &ops).await;
        (ops, answer)
    })
}
