//! What members ask of their room, and the one call to the log that is in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use signal_protocol::client::RequestId;
use signal_protocol::server::ErrorFrame;
use signal_protocol::{ErrorCode, IceServers, Mid, PeerId, RoomId, ServerMessage};

use tokio::sync::oneshot;

use super::Delivery;
use super::outbox::{Mark, Outbox};
use crate::log::{Join, LogError, Op, Outcome, Payload, RoomLog, SocketId, Volatile};

/// Steps that go in one call, so that a busy room does not hold Redis for long.
const STEPS_PER_CALL: usize = 128;

/// Pause before an unanswered call is made again, and its bound.
const REPEAT_AFTER: Duration = Duration::from_millis(100);
const REPEAT_AFTER_MAX: Duration = Duration::from_secs(1);

/// What a session asks of a room.
pub enum Command {
    /// Enters it.
    Join(Box<JoinCommand>),
    /// Says something that is kept, or refuses it in its turn.
    Kept {
        /// Who.
        peer: PeerId,
        /// Over which socket.
        socket: SocketId,
        /// The member's count.
        mid: Mid,
        /// What.
        what: Kept,
    },
    /// Tells something once.
    Tell(Volatile),
    /// Leaves it.
    Leave {
        /// Who.
        peer: PeerId,
        /// Over which socket.
        socket: SocketId,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Removes another member.
    Kick {
        /// Whom.
        peer: PeerId,
        /// How long its subject may not come back.
        ban: Duration,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Asks to be told when the log has answered everything that came before.
    Settle(oneshot::Sender<()>),
    /// The socket is gone.
    Detach {
        /// Who.
        peer: PeerId,
        /// Which socket.
        socket: SocketId,
    },
}

/// A message that counts.
#[derive(Debug)]
pub enum Kept {
    /// To one member, or to all others.
    Signal {
        /// Whom it is for.
        to: Option<PeerId>,
        /// What is said.
        data: Payload,
    },
    /// Replaces the member's `meta`.
    Update(Payload),
    /// Refused for good before it reached the room.
    Refuse(ErrorCode, String),
}

/// A wish to enter, with what goes into the answer.
pub struct JoinCommand {
    /// What the log decides on.
    pub join: Join,
    /// The ICE servers for `joined`.
    pub ice: Option<Arc<IceServers>>,
    /// Where the answer goes.
    pub reply: Reply,
}

/// Where the answer to a request goes.
#[derive(Clone)]
pub struct Reply {
    /// The session's queue.
    pub outbox: Arc<Outbox>,
    /// The request.
    pub id: Option<RequestId>,
}

impl Reply {
    /// Says that the request took effect.
    pub fn ok(&self, mark: Option<Mark>) {
        let frame = ServerMessage::Ok { id: self.id }.to_json();
        self.outbox.hand(Delivery { frame: frame.into(), mark });
    }

    /// Says that it was refused.
    pub fn refuse(&self, error: ErrorFrame<'_>, mark: Option<Mark>) {
        let frame = ServerMessage::Error(ErrorFrame { id: self.id, ..error }).to_json();
        self.outbox.hand(Delivery { frame: frame.into(), mark });
    }
}

/// To whom the outcome of a step matters.
pub(super) enum Origin {
    /// A join.
    Join { peer: PeerId, socket: SocketId, ice: Option<Arc<IceServers>>, reply: Reply },
    /// A kept message.
    Kept { peer: PeerId, socket: SocketId, mid: Mid, refusal: Option<String> },
    /// A leave.
    Leave { peer: PeerId, reply: Reply },
    /// A kick.
    Kick { reply: Reply },
    /// Nobody.
    Housekeeping,
}

/// A step that waits for its call.
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) origin: Origin,
}

type Answer = (Vec<Op>, Result<Vec<Outcome>, LogError>);

/// The call that is under way.
struct Flight {
    origins: Vec<Origin>,
    repeated: u32,
    answer: BoxFuture<'static, Answer>,
}

/// The steps of a room: those that wait, and those in the one call under way.
pub(super) struct Calls {
    log: Arc<dyn RoomLog>,
    room: RoomId,
    waiting: VecDeque<Step>,
    flight: Option<Flight>,
}

/// How a call ended for good.
pub(super) enum Landed {
    /// There is one outcome for each origin.
    Answered(Vec<(Origin, Outcome)>),
    /// The log said something we do not understand.
    Failed(Vec<Origin>, LogError),
    /// It is made again; this often so far.
    Repeated(u32, LogError),
}

impl Calls {
    pub(super) fn new(log: Arc<dyn RoomLog>, room: RoomId) -> Self {
        Self { log, room, waiting: VecDeque::new(), flight: None }
    }

    /// Queues a step, and starts a call unless one is under way.
    pub(super) fn push(&mut self, op: Op, origin: Origin) {
        self.waiting.push_back(Step { op, origin });
        self.depart();
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.flight.is_none()
    }

    /// Tells whether the call under way has been repeated.
    pub(super) fn is_failing(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.repeated > 0)
    }

    /// Tells whether a join of `peer` is in the call under way: its entry may arrive before its outcome.
    pub(super) fn is_joining(&self, peer: &PeerId) -> bool {
        let origins = self.flight.iter().flat_map(|flight| &flight.origins);
        origins
            .into_iter()
            .any(|origin| matches!(origin, Origin::Join { peer: p, .. } if p == peer))
    }

    /// Gives back the waiting steps that `pick` names; their outcome is certain: nothing happened.
    pub(super) fn withdraw(&mut self, pick: impl Fn(&Origin) -> bool) -> Vec<Origin> {
        let (out, stay): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|step| pick(&step.origin));
        self.waiting = stay.into();
        out.into_iter().map(|step| step.origin).collect()
    }

    fn depart(&mut self) {
        if self.flight.is_some() || self.waiting.is_empty() {
            return;
        }
        let count = self.waiting.len().min(STEPS_PER_CALL);
        let (ops, origins) = self.waiting.drain(..count).map(|step| (step.op, step.origin)).unzip();
        let answer = call(self.log.clone(), self.room.clone(), ops, Duration::ZERO);
        self.flight = Some(Flight { origins, repeated: 0, answer });
    }

    /// Waits for the call under way; for ever if there is none. Cancel-safe.
    pub(super) async fn landed(&mut self) -> Landed {
        let Some(flight) = &mut self.flight else { return std::future::pending().await };
        let (ops, answer) = (&mut flight.answer).await;
        match answer {
            Err(error @ LogError::Unavailable(_)) => self.repeat(ops, error),
            answer => self.end(answer),
        }
    }

    fn end(&mut self, answer: Result<Vec<Outcome>, LogError>) -> Landed {
        let origins = self.flight.take().map(|flight| flight.origins).unwrap_or_default();
        self.depart();
        match answer {
            Ok(outcomes) => Landed::Answered(origins.into_iter().zip(outcomes).collect()),
            Err(error) => Landed::Failed(origins, error),
        }
    }

    /// Makes the same call again: what became of the first one is unknown, and two are as good as one.
    fn repeat(&mut self, ops: Vec<Op>, error: LogError) -> Landed {
        let Some(flight) = &mut self.flight else { return Landed::Failed(Vec::new(), error) };
        flight.repeated += 1;
        let pause = (REPEAT_AFTER * flight.repeated).min(REPEAT_AFTER_MAX);
        flight.answer = call(self.log.clone(), self.room.clone(), ops, pause);
        Landed::Repeated(flight.repeated, error)
    }
}

fn call(
    log: Arc<dyn RoomLog>,
    room: RoomId,
    ops: Vec<Op>,
    after: Duration,
) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        let answer = log.call(&room, &ops).await;
        (ops, answer)
    })
}
