//! What a step of a room asks of its task. Everything else a step does is to push frames into outboxes.

use std::time::Duration;

use signal_protocol::{CallEnd, ErrorCode, NodeId, Recovery, RoomId, Seq};

use super::append_queue::AppendCall;
use super::command::JoinCommand;
use super::context::Environment;
use super::replay::Replay;
use super::timers::Timers;
use crate::log::Volatile;
use crate::metrics::{GapCause, Metrics, VolatileDrop};
use crate::timeline::Event;

/// What a room asks of its task after a step.
///
/// A struct of slots rather than a list: a room has at most one call, one read and one publication under way,
/// and a step that asks for one signal to be appended allocates nothing for the request.
#[derive(Default)]
pub struct Effects {
    /// Call the log. The answer becomes [`Input::Answered`](super::Input::Answered).
    pub append: Option<AppendCall>,
    /// Read the entries behind this one, in place of a read that is under way.
    pub read: Option<Seq>,
    /// Publish volatile signals, if there are any.
    pub publish: Vec<Volatile>,
    /// Subscribe again after this pause.
    pub resubscribe: Option<Duration>,
    /// Read on for members that come back, each once its socket has room.
    pub replays: Vec<Replay>,
    /// Hand these joins in again in a moment, as [`Input::JoinDue`](super::Input::JoinDue).
    pub join_retries: Vec<JoinCommand>,
    /// Watch the heartbeats of these nodes.
    pub watch: Vec<NodeId>,
    /// Record these in the timeline of the room.
    pub history: Vec<Event>,
    /// Count these.
    pub counts: Vec<Count>,
    /// End the room unless a command has come in meanwhile.
    pub retire: bool,
}

/// What a room counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is one counter of `Metrics`, and is described there")]
pub enum Count {
    Gap(GapCause),
    Refused(ErrorCode),
    Joined(Recovery),
    QueueFull,
    FanoutRefused,
    CallRetried,
    VolatileDropped(VolatileDrop),
    Reset,
    Reclaimed,
    PresenceChanged,
    Call(Option<CallEnd>, Option<Duration>),
}

impl Count {
    /// Raises the counter.
    pub(super) fn add_to(self, metrics: &Metrics) {
        match self {
            Self::Gap(cause) => metrics.gap(cause),
            Self::Refused(code) => metrics.refused(code),
            Self::Joined(recovery) => metrics.joined(recovery),
            Self::QueueFull => metrics.room_refusals.inc(),
            Self::FanoutRefused => metrics.fanout_refusals.inc(),
            Self::CallRetried => metrics.log_repeats.inc(),
            Self::VolatileDropped(cause) => metrics.volatile_dropped(cause, 1),
            Self::Reset => metrics.resets.inc(),
            Self::Reclaimed => metrics.reclaimed.inc(),
            Self::PresenceChanged => metrics.presence.changes.inc(),
            Self::Call(end, rang) => metrics.presence.call(end, rang),
        }
    }
}

/// What the parts of a room have at hand during one step.
pub(super) struct StepContext<'a> {
    pub(super) room: &'a RoomId,
    pub(super) environment: Environment<'a>,
    pub(super) timers: &'a mut Timers,
    pub(super) effects: &'a mut Effects,
}

impl StepContext<'_> {
    pub(super) fn count(&mut self, count: Count) {
        self.effects.counts.push(count);
    }

    /// Starts the wait for the grace of a member that has been away for `ago`.
    pub(super) fn member_away(&mut self, peer: &signal_protocol::PeerId, ago: Duration) {
        let left = self.environment.settings.grace_of(self.room).saturating_sub(ago);
        self.timers.away(peer, self.environment.now + left);
    }
}
