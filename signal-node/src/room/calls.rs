//! The callers on this node whose calls are in one inbox, and when its calls have rung for long enough.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use signal_protocol::calls::RingView;
use signal_protocol::client::RequestId;
use signal_protocol::server::milliseconds;
use signal_protocol::{CallEnd, CallId, PeerId, ServerMessage};
use tokio::time::Instant;

use super::outbox::{Delivery, FrameEvent, Outbox};
use crate::log::{CallState, CallView, Ring, SocketId};

/// How long the end of a call may take to be told. A caller without it asks the log.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A socket whose user calls.
pub(super) struct Caller {
    ring: Ring,
    socket: SocketId,
    outbox: Arc<Outbox>,
    began: Instant,
    /// Whether the log has answered: one that has not may not know the call yet.
    is_answered: bool,
    is_accepted: bool,
}

/// A change that a caller here was told.
pub(super) struct CallTold {
    /// Why the call is over; `None`: it was accepted.
    pub(super) end: Option<CallEnd>,
    /// How long it rang; of the end of an accepted call there is nothing to tell.
    pub(super) rang: Option<Duration>,
}

/// The callers of one inbox, and the deadlines of its calls.
#[derive(Default)]
pub(super) struct Calls {
    callers: Vec<Caller>,
    /// When each ringing call has rung for long enough.
    deadlines: BTreeMap<CallId, Instant>,
}

impl Calls {
    pub(super) fn has_callers(&self) -> bool {
        !self.callers.is_empty()
    }

    /// Adds a caller, in place of one who said the same before.
    pub(super) fn add(&mut self, ring: Ring, socket: SocketId, outbox: Arc<Outbox>, now: Instant) {
        self.remove(&ring.call, socket);
        self.deadlines.entry(ring.call.clone()).or_insert(now + ring.timeout + TOLD_WITHIN);
        self.callers.push(Caller {
            ring,
            socket,
            outbox,
            began: now,
            is_answered: false,
            is_accepted: false,
        });
    }

    /// Notes that the log has answered the call of a socket.
    pub(super) fn answered(&mut self, call: &CallId, socket: SocketId) {
        let is_meant = |caller: &&mut Caller| caller.ring.call == *call && caller.socket == socket;
        if let Some(caller) = self.callers.iter_mut().find(is_meant) {
            caller.is_answered = true;
        }
    }

    pub(super) fn remove(&mut self, call: &CallId, socket: SocketId) {
        self.callers.retain(|caller| caller.ring.call != *call || caller.socket != socket);
    }

    /// Removes all callers of a socket that is gone. Their calls go on.
    pub(super) fn remove_socket(&mut self, socket: SocketId) {
        self.callers.retain(|caller| caller.socket != socket);
    }

    /// Returns what makes the calls of the callers here anew, in a log that has lost them.
    pub(super) fn rings(&self, now: Instant) -> Vec<Ring> {
        let left = |caller: &Caller| {
            let timeout = caller.ring.timeout.saturating_sub(now.duration_since(caller.began));
            Ring { timeout, ..caller.ring.clone() }
        };
        let ringing = self.callers.iter().filter(|caller| !caller.is_accepted);
        ringing.map(left).filter(|ring| !ring.timeout.is_zero()).collect()
    }

    /// Notes how a call is; returns when the log is to be asked.
    pub(super) fn note(&mut self, view: &CallView, now: Instant) -> Option<Instant> {
        if view.state == CallState::Ringing {
            let at = now + view.left;
            self.deadlines.insert(view.call.clone(), at);
            return Some(at);
        }
        self.deadlines.remove(&view.call);
        None
    }

    /// Takes out the deadlines that have come; tells whether there were some. Callers without an end stay, and ask again.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let before = self.deadlines.len();
        self.deadlines.retain(|_, at| *at > now);
        self.deadlines.len() < before
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.values().min().copied()
    }

    /// Tells the callers of a call how it is, each change once.
    pub(super) fn tell(&mut self, view: &CallView, now: Instant) -> Option<CallTold> {
        let mut told = None;
        self.callers.retain_mut(|caller| {
            if caller.ring.call != view.call {
                return true;
            }
            let rang = (!caller.is_accepted).then(|| now.duration_since(caller.began));
            match &view.state {
                CallState::Ringing => {}
                CallState::Accepted(_) if caller.is_accepted => {}
                CallState::Accepted(_) => {
                    caller.is_accepted = true;
                    told = Some(CallTold { end: None, rang });
                    caller.outbox.push(state_frame(None, view));
                }
                CallState::Ended(end) => {
                    told = Some(CallTold { end: Some(*end), rang });
                    caller.outbox.push(over(None, &view.call, *end));
                }
            }
            !matches!(view.state, CallState::Ended(_)) && !caller.outbox.is_closed()
        });
        told
    }

    /// Ends the calls that the log does not know any more, of which `known` tells.
    pub(super) fn end_unknown(&mut self, known: impl Fn(&CallId) -> bool, now: Instant) {
        self.callers.retain(|caller| {
            let is_over = now >= caller.began + caller.ring.timeout + TOLD_WITHIN;
            let stays = known(&caller.ring.call) || !(caller.is_answered || is_over);
            if !stays {
                caller.outbox.push(over(None, &caller.ring.call, CallEnd::Timeout));
            }
            stays
        });
    }

    /// Takes all callers out: the inbox ends here.
    pub(super) fn take_outboxes(&mut self) -> impl Iterator<Item = Arc<Outbox>> {
        std::mem::take(&mut self.callers).into_iter().map(|caller| caller.outbox)
    }
}

/// Writes `call_ended`.
pub(super) fn over(id: Option<RequestId>, call: &CallId, reason: CallEnd) -> Delivery {
    let frame = ServerMessage::CallEnded { id, call, reason }.to_json();
    Delivery::from(frame).with_event(FrameEvent::CallOver(call.clone()))
}

/// Writes how a call is for its caller, or for a device that has it; while it rings, there is nothing to say.
pub(super) fn state_frame(id: Option<RequestId>, view: &CallView) -> Delivery {
    let CallView { call, room, state, .. } = view;
    match state {
        CallState::Accepted(device) => {
            Delivery::from(ServerMessage::CallAccepted { id, call, room, device }.to_json())
        }
        CallState::Ended(end) => over(id, call, *end),
        CallState::Ringing => Delivery::from(ServerMessage::Ok { id }.to_json()),
    }
}

/// Writes how a call is for one device.
pub(super) fn device_frame(device: &PeerId, view: &CallView) -> Option<Delivery> {
    match &view.state {
        CallState::Ringing => Some(ring_frame(view)),
        CallState::Accepted(holder) if holder == device => None,
        CallState::Accepted(_) => Some(over(None, &view.call, CallEnd::AnsweredElsewhere)),
        CallState::Ended(end) => Some(over(None, &view.call, *end)),
    }
}

/// Writes `ring`.
fn ring_frame(view: &CallView) -> Delivery {
    let CallView { call, from, room, left, data, .. } = view;
    let (within, data) = (milliseconds(*left), data.as_deref());
    let frame = ServerMessage::Ring(RingView { call, from, room, within, data }).to_json();
    Delivery::from(frame).with_event(FrameEvent::Rings(Box::new((call.clone(), from.clone()))))
}
