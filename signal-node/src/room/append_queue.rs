//! The ops of a room that wait for the log, and the one call to it that is in flight.
//!
//! One call at a time: what comes meanwhile collects and goes in the next one, so a burst costs one script call
//! without a timer. A call without an answer is sent again unchanged and before any other, since an op of it may
//! have taken effect; every op recognises its own repetition.

use std::collections::VecDeque;
use std::time::Duration;

use signal_protocol::{PeerId, Seq};
use tokio::time::Instant;

use super::requester::Requester;
use crate::log::{Claim, LogError, Op, Outcome};

/// Ops in one call, and their bytes, so that a busy room does not hold Redis for long.
const OPS_PER_CALL: usize = 128;
const BYTES_PER_CALL: usize = 128 * 1024;

/// Ops that may wait in one room, and their bytes. More is answered `unavailable`.
const WAITING_OPS: usize = 4_096;
const WAITING_BYTES: usize = 8 * 1024 * 1024;

/// A call that was sent again and is older than this is failing: requests behind it are refused.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long those wait who ask for what is in the call itself, where it may have taken effect. Then they are told that
/// the log is not reachable, and what they asked for is still sent.
const LONG_PATIENCE: Duration = Duration::from_secs(6);

/// Pause before a call without an answer is sent again, and its bound.
const RETRY_AFTER: Duration = Duration::from_millis(100);
const RETRY_AFTER_MAX: Duration = Duration::from_millis(500);

/// An op that waits for its call.
pub(super) struct QueuedOp {
    pub(super) op: Op,
    pub(super) requester: Requester,
}

impl QueuedOp {
    /// An op of the room itself.
    pub(super) fn housekeeping(op: Op) -> Self {
        Self { op, requester: Requester::Housekeeping }
    }
}

/// One call to the log.
#[derive(Debug)]
pub struct AppendCall {
    /// The last entry that this room has delivered, by which the log notices that it has lost writes.
    pub seen: Seq,
    /// The ops, which come back with the answer.
    pub ops: Vec<Op>,
    /// Pause before the call.
    pub after: Duration,
}

/// The call in flight; its ops are with the task that makes it.
struct InFlightCall {
    requesters: Vec<Requester>,
    seen: Seq,
    began: Instant,
    retries: u32,
    /// Whether an attempt had no answer, and so may have taken effect.
    is_unknown: bool,
    /// Whether it puts back what the log has lost.
    is_recovery: bool,
    /// Once it was answered: what has not been looked at yet.
    answers: VecDeque<(QueuedOp, Outcome)>,
}

impl InFlightCall {
    /// Takes out the requesters that have waited for too long. An op that certainly has not taken effect leaves the call with
    /// its requester; one that may have stays, as housekeeping, until the log answers.
    fn expire_requesters(&mut self, ops: Vec<Op>, now: Instant) -> (Vec<Op>, Vec<Requester>) {
        let patience = if self.is_unknown { LONG_PATIENCE } else { PATIENCE };
        if now.duration_since(self.began) < patience {
            return (ops, Vec::new());
        }
        let (mut stay, mut expired) = (Vec::new(), Vec::new());
        let requesters = std::mem::take(&mut self.requesters);
        for (op, requester) in ops.into_iter().zip(requesters) {
            if !requester.is_answered_on_failure() {
                self.requesters.push(requester);
                stay.push(op);
                continue;
            }
            expired.push(requester);
            if self.is_unknown {
                self.requesters.push(Requester::Housekeeping);
                stay.push(op);
            }
        }
        (stay, expired)
    }
}

/// The ops of one room.
#[derive(Default)]
pub(super) struct AppendQueue {
    waiting: VecDeque<QueuedOp>,
    waiting_bytes: usize,
    in_flight: Option<Box<InFlightCall>>,
    /// The last call, until each of its answers was looked at. The answers lie here rather than on the stack, so that
    /// a panic over one of them loses none of the others.
    answered: Option<Box<InFlightCall>>,
}

/// How a call ended.
pub(super) enum CallResult {
    /// Each op has its outcome, to be had from [`AppendQueue::next_answer`].
    Answered,
    /// No op took effect: the log has lost entries that this room has seen.
    RolledBack(Vec<QueuedOp>),
    /// The log answered something that no script says.
    Failed(Vec<Requester>, LogError),
    /// No answer, or a refusal to write: the same call is due again, if anything is left of it. These need not wait.
    Retry(Option<AppendCall>, Vec<Requester>, LogError),
}

impl AppendQueue {
    /// Queues an op.
    pub(super) fn push(&mut self, op: Op, requester: Requester) {
        self.waiting_bytes += op.bytes();
        self.waiting.push_back(QueuedOp { op, requester });
    }

    /// Queues an op of the room itself.
    pub(super) fn push_housekeeping(&mut self, op: Op) {
        self.push(op, Requester::Housekeeping);
    }

    /// Queues ops before all others, in their order.
    pub(super) fn push_front(&mut self, ops: Vec<QueuedOp>) {
        for queued in ops.into_iter().rev() {
            self.waiting_bytes += queued.op.bytes();
            self.waiting.push_front(queued);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.as_ref().map_or(0, |call| call.requesters.len())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_none()
    }

    /// Tells whether as much is waiting as may.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_OPS || self.waiting_bytes >= WAITING_BYTES
    }

    /// Tells whether the call in flight fails for longer than a hiccup.
    pub(super) fn is_failing(&self, now: Instant) -> bool {
        let call = self.in_flight.as_ref();
        call.is_some_and(|call| call.retries > 0 && now.duration_since(call.began) >= PATIENCE)
    }

    /// Tells whether a recovery is in flight, or is what the next call begins with.
    pub(super) fn is_recovering(&self) -> bool {
        self.in_flight.as_ref().is_some_and(|call| call.is_recovery)
            || self.waiting.front().is_some_and(|queued| queued.op.is_recovery())
    }

    /// Tells whether a join of `peer` is in the call in flight, whose entry may arrive before its outcome, or among the
    /// answers that were not looked at yet: the roster in the answer before may hold it.
    pub(super) fn is_joining(&self, peer: &PeerId) -> bool {
        let in_flight = self.in_flight.iter().flat_map(|call| &call.requesters);
        let answered = self.answered.iter().flat_map(|call| &call.answers);
        let answered = answered.map(|(queued, _)| &queued.requester);
        in_flight.chain(answered).any(|by| by.joins(peer))
    }

    /// Tells whether a join of `peer` waits, or is on its way.
    pub(super) fn has_join(&self, peer: &PeerId) -> bool {
        self.is_joining(peer) || self.waiting.iter().any(|queued| queued.requester.joins(peer))
    }

    /// Gives the waiting ops of a member the generation to which a suspicion has raised its claim.
    pub(super) fn renew(&mut self, old: &Claim, generation: Seq) {
        for queued in &mut self.waiting {
            if let Some(by) = queued.op.claim_mut().filter(|by| **by == *old) {
                by.generation = generation;
            }
        }
    }

    /// Takes the waiting ops of `pick` out. None of them was ever sent, so none has taken effect.
    pub(super) fn withdraw(&mut self, pick: impl Fn(&Requester) -> bool) -> Vec<Requester> {
        let (out, stay): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|queued| pick(&queued.requester));
        self.waiting_bytes = stay.iter().map(|queued| queued.op.bytes()).sum();
        self.waiting = stay.into();
        out.into_iter().map(|queued| queued.requester).collect()
    }

    /// Makes a call of what waits, unless one is in flight.
    pub(super) fn next_call(&mut self, seen: Seq, now: Instant) -> Option<AppendCall> {
        if self.in_flight.is_some() || self.waiting.is_empty() {
            return None;
        }
        let count = self.fitting();
        let queued = self.waiting.drain(..count);
        let (ops, requesters): (Vec<_>, _) = queued.map(|q| (q.op, q.requester)).unzip();
        self.waiting_bytes -= ops.iter().map(Op::bytes).sum::<usize>();
        if self.waiting.is_empty() {
            // An idle room owns no queue.
            self.waiting = VecDeque::new();
        }
        let is_recovery = ops.first().is_some_and(Op::is_recovery);
        let call = InFlightCall {
            requesters,
            seen,
            began: now,
            retries: 0,
            is_unknown: false,
            is_recovery,
            answers: VecDeque::new(),
        };
        self.in_flight = Some(Box::new(call));
        Some(AppendCall { seen, ops, after: Duration::ZERO })
    }

    /// Counts the waiting ops that fit in one call: at least one, however large it is.
    fn fitting(&self) -> usize {
        let (mut count, mut bytes) = (0, 0);
        for queued in self.waiting.iter().take(OPS_PER_CALL) {
            bytes += queued.op.bytes();
            if count > 0 && bytes > BYTES_PER_CALL {
                break;
            }
            count += 1;
        }
        count
    }

    /// Takes in what the log answered to the call in flight; `None` if there is none.
    pub(super) fn on_answer(
        &mut self,
        ops: Vec<Op>,
        answer: Result<Vec<Outcome>, LogError>,
        now: Instant,
    ) -> Option<CallResult> {
        if let (Err(error), Some(call)) = (&answer, &mut self.in_flight)
            && error.is_temporary()
        {
            call.retries += 1;
            call.is_unknown |= matches!(error, LogError::Unavailable(_));
            let after = (RETRY_AFTER * call.retries).min(RETRY_AFTER_MAX);
            let (ops, expired) = call.expire_requesters(ops, now);
            let again = AppendCall { seen: call.seen, ops, after };
            let again = (!again.ops.is_empty()).then_some(again);
            if again.is_none() {
                self.in_flight = None;
            }
            return Some(CallResult::Retry(again, expired, error.clone()));
        }
        let mut call = self.in_flight.take()?;
        let requesters = std::mem::take(&mut call.requesters);
        let queued = ops.into_iter().zip(requesters);
        let queued = queued.map(|(op, requester)| QueuedOp { op, requester });
        Some(match answer {
            Ok(outcomes) => {
                call.answers = queued.zip(outcomes).collect();
                self.answered = Some(call);
                CallResult::Answered
            }
            Err(LogError::RolledBack { .. }) => CallResult::RolledBack(queued.collect()),
            Err(error) => {
                CallResult::Failed(queued.map(|queued| queued.requester).collect(), error)
            }
        })
    }

    /// Takes the next answer of the last call out, with whether that call was sent more than once.
    pub(super) fn next_answer(&mut self) -> Option<(QueuedOp, Outcome, bool)> {
        let call = self.answered.as_mut()?;
        let Some((queued, outcome)) = call.answers.pop_front() else {
            self.answered = None;
            return None;
        };
        Some((queued, outcome, call.retries > 0))
    }
}

#[cfg(test)]
mod tests {
    use signal_protocol::Mid;

    use super::*;
    use crate::log::SocketId;
    use crate::room::MessageId;

    fn detach(number: u64) -> Op {
        let peer = "p_someone_else".parse().unwrap();
        Op::Detach { by: Claim { peer, generation: Seq(number) } }
    }

    #[test]
    fn ops_that_come_while_a_call_is_in_flight_go_in_the_next_one() {
        let (mut queue, now) = (AppendQueue::default(), Instant::now());
        queue.push_housekeeping(detach(1));
        let first = queue.next_call(Seq(0), now).unwrap();
        queue.push_housekeeping(detach(2));
        queue.push_housekeeping(detach(3));
        assert!(queue.next_call(Seq(0), now).is_none());
        queue.on_answer(first.ops, Ok(vec![Outcome::Settled]), now);
        assert_eq!(queue.next_call(Seq(0), now).unwrap().ops.len(), 2);
    }

    #[test]
    fn a_call_without_an_answer_is_sent_again_unchanged_and_before_any_other() {
        let (mut queue, now) = (AppendQueue::default(), Instant::now());
        queue.push_housekeeping(detach(1));
        let first = queue.next_call(Seq(7), now).unwrap();
        queue.push_housekeeping(detach(2));
        let lost = Err(LogError::Unavailable("lost".to_owned()));
        let Some(CallResult::Retry(Some(again), _, _)) = queue.on_answer(first.ops, lost, now)
        else {
            panic!()
        };
        assert_eq!((again.seen, again.ops.len(), again.after), (Seq(7), 1, RETRY_AFTER));
        assert!(!queue.is_failing(now) && queue.is_failing(now + PATIENCE));
    }

    /// Queues an op that somebody waits for.
    fn ordered(queue: &mut AppendQueue) {
        let (peer, socket) = ("p_somebody".parse().unwrap(), SocketId::random());
        let id = MessageId { peer, socket, mid: Mid(1) };
        queue.push(detach(1), Requester::Ordered { id, refusal: None });
    }

    #[test]
    fn what_a_log_refuses_to_write_is_given_up_after_a_second_and_sent_no_more() {
        let (mut queue, now) = (AppendQueue::default(), Instant::now());
        ordered(&mut queue);
        let call = queue.next_call(Seq(0), now).unwrap();
        let refused = || Err(LogError::WriteRefused("OOM".to_owned()));
        let Some(CallResult::Retry(Some(call), expired, _)) =
            queue.on_answer(call.ops, refused(), now)
        else {
            panic!()
        };
        assert!(expired.is_empty(), "a hiccup is waited out");
        let Some(CallResult::Retry(None, expired, _)) =
            queue.on_answer(call.ops, refused(), now + PATIENCE)
        else {
            panic!()
        };
        assert!(expired.len() == 1 && queue.is_idle());
    }

    #[test]
    fn what_may_have_taken_effect_is_sent_until_the_log_tells_though_nobody_waits_any_more() {
        let (mut queue, now) = (AppendQueue::default(), Instant::now());
        ordered(&mut queue);
        let call = queue.next_call(Seq(0), now).unwrap();
        let lost = || Err(LogError::Unavailable("lost".to_owned()));
        let refused = Err(LogError::WriteRefused("OOM".to_owned()));
        let Some(CallResult::Retry(Some(call), _, _)) = queue.on_answer(call.ops, lost(), now)
        else {
            panic!()
        };
        let Some(CallResult::Retry(Some(call), expired, _)) =
            queue.on_answer(call.ops, refused, now + PATIENCE)
        else {
            panic!()
        };
        assert!(expired.is_empty(), "the first attempt may have taken effect");
        let late = now + LONG_PATIENCE;
        let Some(CallResult::Retry(Some(call), expired, _)) =
            queue.on_answer(call.ops, lost(), late)
        else {
            panic!()
        };
        assert_eq!((expired.len(), call.ops.len()), (1, 1));
    }
}
