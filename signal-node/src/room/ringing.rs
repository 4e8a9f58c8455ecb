//! What calls mean for the inbox that they are in.

use signal_protocol::server::ErrorFrame;
use signal_protocol::{CallEnd, CallId, ErrorCode, PeerId, ServerMessage};

use super::calls::{device_frame, over, state_frame};
use super::command::{CallCommand, Reply, RingCommand};
use super::effect::{Count, StepContext};
use super::fanout::{self, is_inbox};
use super::local_room::LocalRoom;
use super::replies::refused_text;
use super::replies::unavailable;
use super::requester::{CallRequest, Requester};
use super::requests::queue_refusal;
use crate::log::{CallState, CallStep, CallView, CallsView, Op, Outcome};

/// Queues a call.
pub(super) fn ring(local: &mut LocalRoom, step: &mut StepContext<'_>, command: RingCommand) {
    let RingCommand { ring, socket, reply } = command;
    if let Some(why) = queue_refusal(&local.queue, step) {
        return refuse(step, &reply, unavailable(why));
    }
    local.calls.add(ring.clone(), socket, reply.outbox.clone(), step.environment.now);
    let asked = CallRequest::Ring { call: ring.call.clone(), socket };
    local.queue.push(Op::Ring(Box::new(ring)), Requester::Call { asked, reply });
    set_timer(local, step);
}

/// Queues a step of a call.
pub(super) fn step_call(local: &mut LocalRoom, step: &mut StepContext<'_>, command: CallCommand) {
    let CallCommand { call, step: said, reply } = command;
    if let Some(why) = queue_refusal(&local.queue, step) {
        return refuse(step, &reply, unavailable(why));
    }
    let device = match &said {
        CallStep::Accept(device) => Some(device.clone()),
        CallStep::Decline(..) | CallStep::Cancel(..) => None,
    };
    let requester = Requester::Call { asked: CallRequest::Step { device }, reply };
    local.queue.push(Op::StepCall { call, step: said }, requester);
}

fn refuse(step: &mut StepContext<'_>, reply: &Reply, error: ErrorFrame<'_>) {
    step.count(Count::Refused(error.code));
    reply.refuse(error, None);
}

/// Takes in what the log answered to a step of a call.
pub(super) fn on_answer(
    local: &mut LocalRoom,
    step: &mut StepContext<'_>,
    (asked, reply): (CallRequest, Reply),
    outcome: &Outcome,
) {
    if let Outcome::Calls(view) = outcome
        && let Some(call) = view.calls.first()
    {
        answer(&reply, &asked, call, view.devices);
        if let CallRequest::Ring { call, socket } = &asked {
            local.calls.answered(call, *socket);
        }
        return on_view(local, step, view);
    }
    if let CallRequest::Ring { call, socket } = &asked {
        local.calls.remove(call, *socket);
    }
    let (code, text) = match outcome {
        Outcome::Refused(code) => (*code, "too many calls ring at the user"),
        Outcome::Gone(_) => (ErrorCode::PeerNotFound, "there is no such call"),
        Outcome::Joined(_)
        | Outcome::JoinRefused(_)
        | Outcome::Appended(_)
        | Outcome::Settled
        | Outcome::OutOfOrder { .. }
        | Outcome::Suspected(_)
        | Outcome::Replaced(_)
        | Outcome::More
        | Outcome::Stale
        | Outcome::Recovering
        | Outcome::Posted(_)
        | Outcome::Number(_)
        | Outcome::Head(_)
        | Outcome::Calls(_)
        | Outcome::Room(_) => (ErrorCode::Internal, refused_text(ErrorCode::Internal)),
    };
    refuse(step, &reply, ErrorFrame::new(code, text));
}

fn answer(reply: &Reply, asked: &CallRequest, view: &CallView, devices: usize) {
    let CallView { call, room, state, .. } = view;
    let id = reply.id;
    let delivery = match (asked, state) {
        (CallRequest::Ring { .. }, CallState::Ringing) => {
            ServerMessage::Ringing { id, call, room, devices }.to_json().into()
        }
        (CallRequest::Step { device }, CallState::Accepted(holder))
            if device.as_ref() != Some(holder) =>
        {
            over(id, call, CallEnd::AnsweredElsewhere)
        }
        (CallRequest::Ring { .. } | CallRequest::Step { .. }, _) => state_frame(id, view),
    };
    reply.outbox.push(delivery);
}

/// Takes in how calls are. Where nobody has joined here, delivery begins at the head of the log.
fn on_view(local: &mut LocalRoom, step: &mut StepContext<'_>, view: &CallsView) {
    local.cursor.begin(view.head);
    local.note_head(view.head, step);
    for call in &view.calls {
        on_call(local, step, call);
    }
    set_timer(local, step);
}

fn on_call(local: &mut LocalRoom, step: &mut StepContext<'_>, call: &CallView) {
    local.calls.note(call, step.environment.now);
    if let Some(told) = local.calls.tell(call, step.environment.now) {
        step.count(Count::Call(told.end, told.rang));
    }
}

/// Takes in how all calls are, for this node or for one of its devices.
pub(super) fn on_all(
    local: &mut LocalRoom,
    step: &mut StepContext<'_>,
    device: Option<&PeerId>,
    view: &CallsView,
) {
    on_view(local, step, view);
    match device {
        None => {
            let is_known = |call: &CallId| view.calls.iter().any(|view| view.call == *call);
            local.calls.end_unknown(is_known, step.environment.now);
        }
        Some(device) => {
            let Some(member) = local.members.get(device) else { return };
            for call in view.calls.iter().filter(|call| call.state == CallState::Ringing) {
                if let Some(frame) = device_frame(device, call) {
                    member.outbox.push(frame);
                }
            }
        }
    }
}

/// Delivers the entry of a call to the devices and callers here.
pub(super) fn on_entry(local: &mut LocalRoom, step: &mut StepContext<'_>, call: &CallView) {
    if !is_inbox(step.room) {
        return;
    }
    for member in local.members.iter() {
        if let Some(frame) = device_frame(&member.claim.peer, call) {
            member.outbox.push(frame);
        }
    }
    on_call(local, step, call);
    set_timer(local, step);
}

/// Asks the log how the calls are, where somebody here has to know: entries may have been missed.
pub(super) fn ask_again(local: &mut LocalRoom, step: &StepContext<'_>) {
    if !is_inbox(step.room) {
        return;
    }
    if local.calls.has_callers() {
        local.queue.push_housekeeping(Op::Calls);
    }
    let peers: Vec<_> = local.members.iter().map(|member| member.claim.peer.clone()).collect();
    for peer in peers {
        local.queue.push(Op::Calls, Requester::Rings { peer });
    }
}

/// Makes the calls of the callers here anew in a log that has lost its last writes.
pub(super) fn ring_again(local: &mut LocalRoom, step: &StepContext<'_>) {
    for ring in local.calls.rings(step.environment.now) {
        local.queue.push_housekeeping(Op::Ring(Box::new(ring)));
    }
}

/// Asks the log for the calls that have rung for long enough.
pub(super) fn on_due(local: &mut LocalRoom, step: &mut StepContext<'_>) {
    if local.calls.take_due(step.environment.now) {
        local.queue.push_housekeeping(Op::Calls);
    }
    set_timer(local, step);
}

fn set_timer(local: &LocalRoom, step: &mut StepContext<'_>) {
    if let Some(at) = local.calls.next_deadline() {
        step.timers.calls(at);
    }
}

/// Ends the callers: the inbox ends here.
pub(super) fn close(local: &mut LocalRoom, room: &signal_protocol::RoomId) {
    for outbox in local.calls.take_outboxes() {
        fanout::disconnect_outbox(&outbox, room, "the call cannot be followed here now");
    }
}
