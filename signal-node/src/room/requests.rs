//! From a request of a session to the op that waits for the log.

use std::time::Duration;

use signal_protocol::server::ErrorFrame;
use signal_protocol::{ErrorCode, PeerId, RoomId, ServerMessage, limits};

use super::append_queue::{AppendCall, AppendQueue};
use super::command::{JoinCommand, MessageId, Ordered, Reply};
use super::context::Environment;
use super::effect::{Count, StepContext};
use super::local_room::LocalRoom;
use super::members::Members;
use super::outbox::{FrameEvent, Outbox};
use super::replies::{UNREACHABLE, decline, refuse_ordered, too_much, unavailable};
use super::requester::Requester;
use super::timers::GOING_AWAY_GRACE;
use super::volatile_queue::VolatileQueue;
use crate::log::{Claim, Op, SocketId, Volatile};
use crate::metrics::VolatileDrop;

/// Error text while the queue is full.
const QUEUE_FULL: &str = "too much is waiting for the room log";

/// In a contact with the log that is younger than this, a loss may not have been noticed yet, and members may still be
/// put back.
pub(super) const FRESH: Duration = Duration::from_secs(10);

/// Bytes that the frames of a join and of the leave after it have beside `meta`.
const JOIN_OVERHEAD: usize = 256;

/// Milliseconds after which a member with a full window may go on.
const WINDOW_PAUSE: u64 = 100;

/// Queues a join.
pub(super) fn join(
    members: &mut Members,
    queue: &mut AppendQueue,
    step: &mut StepContext<'_>,
    command: JoinCommand,
) {
    let JoinCommand { mut join, ice, reply } = command;
    if reply.outbox.is_closed() {
        // The socket closed while the join was queued; joining now would leave a ghost.
        return;
    }
    // A `leave` and a `join` in turn would otherwise have `meta` sent to all for nothing.
    let bytes = join.meta.get().len() + JOIN_OVERHEAD;
    let allowed = take(&reply.outbox, step.environment, bytes, members.others());
    let requester = Requester::Join { peer: join.peer.clone(), ice, reply };
    if let Some(why) = queue_refusal(queue, step) {
        return decline(members, step, requester, unavailable(why));
    }
    if let Err(wait) = allowed {
        step.count(Count::FanoutRefused);
        return decline(members, step, requester, too_much(wait));
    }
    let cluster = step.environment.cluster;
    join.expires = cluster.in_contact_for(join.grace);
    join.judgement = cluster.judgement();
    join.waits = !cluster.in_contact_for(FRESH);
    join.asked_at = cluster.log_time();
    queue.push(Op::Join(Box::new(join)), requester);
}

/// Returns a call that is sent again: the log may have lost what it had when its joins were queued.
pub(super) fn again(mut call: AppendCall, environment: Environment<'_>) -> AppendCall {
    let is_fresh = !environment.cluster.in_contact_for(FRESH);
    for op in &mut call.ops {
        if let Op::Join(join) = op {
            join.waits |= is_fresh;
        }
    }
    call
}

/// Says why the queue takes nothing more now, if it does not.
pub(super) fn queue_refusal(
    queue: &AppendQueue,
    step: &mut StepContext<'_>,
) -> Option<&'static str> {
    if queue.is_failing(step.environment.now) {
        Some(UNREACHABLE)
    } else if queue.is_full() {
        step.count(Count::QueueFull);
        Some(QUEUE_FULL)
    } else {
        None
    }
}

/// Queues an ordered message, if its socket still holds the member.
pub(super) fn ordered(
    members: &mut Members,
    queue: &mut AppendQueue,
    step: &mut StepContext<'_>,
    id: MessageId,
    what: Ordered,
) {
    let (refusal, others) = (queue_refusal(queue, step), members.others());
    let Some(member) = members.of_socket(&id.peer, id.socket) else { return };
    if let Some(why) = refusal {
        return refuse_ordered(members, step, &id, unavailable(why));
    }
    if member.unacked() >= limits::UNACKED {
        let text = "too many messages wait for their ack";
        let error = ErrorFrame::new(ErrorCode::RateLimited, text);
        let error = ErrorFrame { after: Some(WINDOW_PAUSE), ..error };
        return refuse_ordered(members, step, &id, error);
    }
    let (bytes, receivers) = load_of(&what, others);
    if let Err(wait) = take(&member.outbox, step.environment, bytes, receivers) {
        step.count(Count::FanoutRefused);
        return refuse_ordered(members, step, &id, too_much(wait));
    }
    member.message_queued();
    let (by, mid) = (member.claim.clone(), id.mid);
    let (op, refusal) = match what {
        Ordered::Signal { to, data, span } => (Op::Signal { by, mid, to, data, span }, None),
        Ordered::Update(meta) => (Op::Update { by, mid, meta }, None),
        Ordered::Refuse(code, message) => (Op::Refuse { by, mid, code }, Some(message)),
    };
    queue.push(op, Requester::Ordered { id, refusal });
}

/// Returns how many bytes a message makes the room send, and to how many members. The log is one of them for a member
/// that is alone: it would otherwise fill the memory of the node or Redis as fast as it can send.
fn load_of(what: &Ordered, others: usize) -> (usize, usize) {
    match what {
        Ordered::Signal { to: None, data, .. } => (data.get().len(), others.max(1)),
        Ordered::Signal { to: Some(_), data, .. } => (data.get().len(), 1),
        Ordered::Update(meta) => (meta.get().len(), others.max(1)),
        Ordered::Refuse(..) => (0, 0),
    }
}

/// Takes bytes out of the budget of whoever holds this socket, or says how long to wait.
fn take(
    outbox: &Outbox,
    environment: Environment<'_>,
    bytes: usize,
    receivers: usize,
) -> Result<(), Duration> {
    let (rates, now) = (environment.settings.send_rates, environment.now);
    outbox.budget(now).take(rates, bytes, receivers, now)
}

/// Queues a volatile signal. One over the budget of its member is dropped, and the member is asked to slow down.
pub(super) fn volatile(
    members: &mut Members,
    queue: &mut VolatileQueue,
    step: &mut StepContext<'_>,
    volatile: Volatile,
) {
    let (bytes, others) = (volatile.data.get().len(), members.others());
    let receivers = if volatile.to.is_some() { 1 } else { others };
    if let Some(member) = members.get(&volatile.from)
        && let Err(wait) = take(&member.outbox, step.environment, bytes, receivers)
    {
        step.count(Count::FanoutRefused);
        step.count(Count::Refused(ErrorCode::RateLimited));
        step.count(Count::VolatileDropped(VolatileDrop::Rate));
        let error = ErrorFrame { room: Some(step.room), ..too_much(wait) };
        member.outbox.push(ServerMessage::Error(error).to_json());
        return;
    }
    if queue.push(volatile) {
        step.count(Count::VolatileDropped(VolatileDrop::Replaced));
    }
}

/// Queues a leave; a socket that holds no member has left already.
pub(super) fn leave(
    members: &mut Members,
    queue: &mut AppendQueue,
    step: &StepContext<'_>,
    (peer, socket): (PeerId, SocketId),
    reply: Reply,
) {
    match members.of_socket(&peer, socket) {
        None => reply.ok(Some(FrameEvent::Left(step.room.clone()))),
        Some(member) => {
            let by = member.claim.clone();
            queue.push(Op::Leave { by }, Requester::Leave { peer, socket, reply });
        }
    }
}

/// Marks a member away whose socket is gone.
pub(super) fn detach(
    members: &mut Members,
    queue: &mut AppendQueue,
    step: &mut StepContext<'_>,
    (peer, socket): (&PeerId, SocketId),
    is_going_away: bool,
) {
    if members.of_socket(peer, socket).is_none() {
        return;
    }
    let Some(member) = members.remove(peer) else { return };
    if is_going_away {
        step.timers.going_away(member.claim.clone(), step.environment.now);
    }
    queue.push_housekeeping(Op::Detach { by: member.claim });
}

/// Ends the membership of one whose page was closed and has not come back, unless its node was out of contact meanwhile: the
/// member may have tried to come back over it. The claim of one that is back is another one.
pub(super) fn gone_away(queue: &mut AppendQueue, environment: &Environment<'_>, by: Claim) {
    if environment.cluster.in_contact_for(GOING_AWAY_GRACE) {
        queue.push_housekeeping(Op::Leave { by });
    }
}

/// Marks the members of silent nodes away, in a room that has members here, or whose members are watched.
pub(super) fn suspect(local: &mut LocalRoom, step: &StepContext<'_>) {
    let Environment { settings, cluster, .. } = step.environment;
    let judgement = cluster.judgement();
    if judgement.silent.is_empty() {
        return;
    }
    let presence = local.presence.as_ref();
    let is_watched = presence.is_some_and(|presence| presence.may_be_on(&judgement.silent));
    if is_watched || !local.members.is_empty() {
        let grace = settings.grace_of(step.room);
        local.queue.push_housekeeping(Op::Suspect { grace, judgement });
    }
}

/// Removes the members that have been away for too long. A node that was out of contact for a part of their grace
/// cannot judge: they may have tried to come back over it.
pub(super) fn expire(queue: &mut AppendQueue, (room, environment): (&RoomId, &Environment<'_>)) {
    let grace = environment.settings.grace_of(room);
    if environment.cluster.in_contact_for(grace) {
        let judgement = environment.cluster.judgement();
        queue.push_housekeeping(Op::Expire { grace, judgement });
    }
}

/// Refuses the requests that wait behind a failing call. They were not sent, so their senders may try again at once
/// over another node.
pub(super) fn fail_waiting(
    members: &mut Members,
    queue: &mut AppendQueue,
    step: &mut StepContext<'_>,
) {
    if !queue.is_failing(step.environment.now) {
        return;
    }
    for requester in queue.withdraw(Requester::is_answered_on_failure) {
        decline(members, step, requester, unavailable(UNREACHABLE));
    }
}
