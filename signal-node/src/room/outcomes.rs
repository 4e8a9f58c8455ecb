//! What the answers of the log mean for the members here.

use std::sync::Arc;
use std::time::Duration;

use signal_protocol::server::ErrorFrame;
use signal_protocol::{ErrorCode, IceServers, Recovery, Seq};
use tracing::{debug, warn};

use super::append_queue::{CallResult, QueuedOp};
use super::command::{JoinCommand, MessageId, Reply};
use super::effect::{Count, StepContext};
use super::local_room::LocalRoom;
use super::outbox::FrameEvent;
use super::pending_joins::{PendingJoin, disconnect_for_snapshot};
use super::recovery::{LostClaim, detach_ghosts, restore_now};
use super::replies::{
    UNREACHABLE, decline, refuse_join, refuse_ordered, refused_text, unavailable,
};
use super::requester::Requester;
use super::{requests, ringing, watching};
use crate::log::{Claim, Join, JoinRefusal, Joined, LogError, Op, Outcome};

/// Takes in what the log answered to the call in flight.
pub(super) fn on_answer(
    local: &mut LocalRoom,
    step: &mut StepContext<'_>,
    ops: Vec<Op>,
    answer: Result<Vec<Outcome>, LogError>,
) {
    let room = step.room;
    match local.queue.on_answer(ops, answer, step.environment.now) {
        Some(CallResult::Answered) => apply_answers(local, step),
        // The ops wait behind the restore: what they ask for is judged with the members in place.
        Some(CallResult::RolledBack(ops)) => {
            local.queue.push_front(ops);
            if watching::begin_anew(local, step) {
                return ringing::ring_again(local, step);
            }
            restore_now(&local.joins, &local.members, &mut local.queue, step);
        }
        Some(CallResult::Failed(requesters, error)) => {
            warn!(room.id = %room, %error, "a call for room {room} failed");
            for requester in requesters {
                let text = "the room log gave no usable answer";
                let error = ErrorFrame::new(ErrorCode::Internal, text);
                decline(&mut local.members, step, requester, error);
            }
        }
        Some(CallResult::Retry(call, expired, error)) => {
            step.count(Count::CallRetried);
            debug!(room.id = %room, %error, "a call for room {room} is sent again");
            step.effects.append = call.map(|call| requests::again(call, step.environment));
            for requester in expired {
                decline(&mut local.members, step, requester, unavailable(UNREACHABLE));
            }
            requests::fail_waiting(&mut local.members, &mut local.queue, step);
        }
        None => {}
    }
}

/// Applies the outcomes of the last call, in the order of its ops.
///
/// Ops that only a suspicion stands in the way of go again, before all others: a later message of the same member must
/// not overtake them.
pub(super) fn apply_answers(local: &mut LocalRoom, step: &mut StepContext<'_>) {
    let mut again = Vec::new();
    while let Some((mut queued, outcome, retried)) = local.queue.next_answer() {
        if let Outcome::Suspected(generation) = outcome {
            again.extend(after_suspicion(local, step, queued, generation));
        } else if matches!(outcome, Outcome::Replaced(_) | Outcome::Gone(_))
            && renew(local, &mut queued)
        {
            again.push(queued);
        } else {
            apply(local, step, queued, (outcome, retried));
        }
    }
    local.queue.push_front(again);
    if local.recovery.is_needed(local.cursor.position()) {
        local.restore(step);
    }
}

/// Gives a message the claim that its member has by now; `false` if that is the one it was sent with.
fn renew(local: &mut LocalRoom, queued: &mut QueuedOp) -> bool {
    let Requester::Ordered { id, .. } = &queued.requester else { return false };
    let member = local.members.of_socket(&id.peer, id.socket);
    let (Some(member), Some(by)) = (member, queued.op.claim_mut()) else { return false };
    let is_newer = member.claim.generation > by.generation;
    by.generation = member.claim.generation;
    is_newer
}

/// Returns what is to be sent again of an op whose member was suspected: first a reclaim, if its socket is here.
fn after_suspicion(
    local: &mut LocalRoom,
    step: &mut StepContext<'_>,
    mut queued: QueuedOp,
    generation: Seq,
) -> Vec<QueuedOp> {
    let Some(by) = queued.op.claim_mut() else { return Vec::new() };
    let peer = by.peer.clone();
    by.generation = generation;
    // A detach goes again too: the node may have reclaimed the member, and not know it any more.
    let reclaim = local.reclaim(&peer, generation, step);
    reclaim.into_iter().chain([queued]).collect()
}

fn apply(
    local: &mut LocalRoom,
    step: &mut StepContext<'_>,
    QueuedOp { op, requester }: QueuedOp,
    (outcome, retried): (Outcome, bool),
) {
    match requester {
        Requester::Join { ice, reply, .. } => {
            if let Op::Join(join) = op {
                on_join(local, step, (*join, ice, reply), outcome);
            }
        }
        Requester::Ordered { id, refusal } => {
            if let Some(member) = local.members.of_socket(&id.peer, id.socket) {
                member.message_answered();
                let is_done = matches!(outcome, Outcome::Appended(_) | Outcome::Settled);
                if let (true, Op::Update { mid, meta, .. }) = (is_done, &op) {
                    // A log that loses the entry before it comes gets the update by a restore.
                    member.set_meta(*mid, meta);
                }
            }
            on_ordered(local, step, &id, &outcome, refusal.as_deref());
        }
        // Whatever the log says, this socket holds the member no more. A newer one may: it stays.
        Requester::Leave { peer, socket, reply } => {
            if let Outcome::Appended(seq) = outcome {
                // A join that follows over the same socket says by it that this leave is known.
                local.note_head(seq, step);
            }
            if local.members.of_socket(&peer, socket).is_some() {
                local.members.remove(&peer);
            }
            reply.ok(Some(FrameEvent::Left(step.room.clone())));
        }
        Requester::Call { asked, reply } => {
            ringing::on_answer(local, step, (asked, reply), &outcome);
        }
        Requester::Rings { peer } => {
            if let Outcome::Calls(view) = &outcome {
                ringing::on_all(local, step, Some(&peer), view);
            }
        }
        Requester::Kick { reply } => on_kick(step, &reply, &outcome, retried),
        Requester::Housekeeping => on_housekeeping(local, step, &op, &outcome),
    }
}

fn on_housekeeping(local: &mut LocalRoom, step: &mut StepContext<'_>, op: &Op, outcome: &Outcome) {
    match outcome {
        Outcome::Appended(seq) => {
            if matches!(op, Op::Reset) {
                local.recovery.restored(*seq);
            }
            local.note_head(*seq, step);
        }
        Outcome::Head(seq) => local.note_head(*seq, step),
        // Its session was told that the log is not reachable, and holds no member.
        Outcome::Joined(joined) => {
            if let Op::Join(join) = op {
                let by = Claim { peer: join.peer.clone(), generation: joined.seq };
                // Before all others: its client may be about to join again over the same socket, with the same try.
                let is_new = joined.recovery == Recovery::New;
                let op = if is_new { Op::Leave { by } } else { Op::Detach { by } };
                local.queue.push_front(vec![QueuedOp::housekeeping(op)]);
            }
            local.note_head(joined.seq, step);
        }
        Outcome::Calls(view) if matches!(op, Op::Calls) => {
            ringing::on_all(local, step, None, view);
        }
        // A call was made anew. What becomes of it is told by its entries.
        Outcome::Calls(view) => local.note_head(view.head, step),
        // The log may hold a member of this node whose join this room has not heard of.
        Outcome::Room(room) => {
            let LocalRoom { joins, members, queue, .. } = local;
            detach_ghosts(&room.members, joins, members, queue, step);
            watching::on_view(local, room, step);
        }
        Outcome::More if matches!(op, Op::Suspect { .. }) => requests::suspect(local, step),
        Outcome::More if matches!(op, Op::Expire { .. }) => {
            requests::expire(&mut local.queue, (step.room, &step.environment));
        }
        // The next judgement is another one; that of absences has its timer already.
        Outcome::Stale if matches!(op, Op::Suspect { .. }) => {
            step.timers.suspect(step.environment.now);
        }
        Outcome::Gone(seq) => {
            if let Op::Restore(restored) = op {
                local.end_left(restored, *seq, step);
            }
        }
        Outcome::More
        | Outcome::Stale
        | Outcome::JoinRefused(_)
        | Outcome::Settled
        | Outcome::Refused(_)
        | Outcome::OutOfOrder { .. }
        | Outcome::Suspected(_)
        | Outcome::Replaced(_)
        | Outcome::Recovering
        | Outcome::Number(_)
        | Outcome::Posted(_) => {}
    }
}

/// A call that was sent more than once may have removed the peer the first time.
fn on_kick(step: &mut StepContext<'_>, reply: &Reply, outcome: &Outcome, retried: bool) {
    if let Outcome::Refused(code) = outcome
        && !retried
    {
        step.count(Count::Refused(*code));
        return reply.refuse(ErrorFrame::new(*code, refused_text(*code)), None);
    }
    reply.ok(None);
}

fn on_join(
    local: &mut LocalRoom,
    step: &mut StepContext<'_>,
    (join, ice, reply): (Join, Option<Arc<IceServers>>, Reply),
    outcome: Outcome,
) {
    match outcome {
        Outcome::Joined(joined) => {
            on_joined(local, step, PendingJoin { join, joined: *joined, ice, reply });
        }
        Outcome::JoinRefused(refusal) => refuse_join(step, &reply, refusal),
        // Members may still be put back, this one among them.
        Outcome::Recovering => {
            retry_join(local, step, JoinCommand { join, ice, reply });
        }
        // The clock of the log has stepped: the next heartbeat tells the new time.
        Outcome::Stale if step.environment.cluster.in_contact_for(Duration::ZERO) => {
            retry_join(local, step, JoinCommand { join, ice, reply });
        }
        // The call took longer than a client waits, or the member that it has made has left: nobody holds it.
        Outcome::Stale | Outcome::Gone(_) => {
            let requester = Requester::Join { peer: join.peer, ice, reply };
            decline(&mut local.members, step, requester, unavailable(UNREACHABLE));
        }
        Outcome::Appended(_)
        | Outcome::Settled
        | Outcome::Refused(_)
        | Outcome::OutOfOrder { .. }
        | Outcome::Suspected(_)
        | Outcome::Replaced(_)
        | Outcome::More
        | Outcome::Posted(_)
        | Outcome::Number(_)
        | Outcome::Head(_)
        | Outcome::Calls(_)
        | Outcome::Room(_) => refuse_join(step, &reply, JoinRefusal::Replaced),
    }
}

fn retry_join(local: &mut LocalRoom, step: &mut StepContext<'_>, join: JoinCommand) {
    local.joins.retry(join.join.peer.clone());
    step.effects.join_retries.push(join);
}

/// The join took effect. Its member begins at its entry, which may have been delivered already: among entries that
/// nobody here could be sent.
fn on_joined(local: &mut LocalRoom, step: &mut StepContext<'_>, pending: PendingJoin) {
    pending.charge_roster(step.environment);
    let Joined { seq, base, roster, .. } = &pending.joined;
    let (seq, base) = (*seq, *base);
    for (peer, away) in roster.iter().filter_map(|member| Some((&member.peer, member.away?))) {
        step.member_away(peer, away);
    }
    detach_ghosts(roster, &local.joins, &local.members, &mut local.queue, step);
    step.effects.watch.extend(roster.iter().map(|member| member.node.clone()));
    local.cursor.begin(base);
    let is_passed = seq <= local.cursor.position();
    if is_passed {
        disconnect_for_snapshot([pending.into_member()], &mut local.queue, step.room);
    } else {
        local.joins.insert(Box::new(pending));
    }
    local.note_head(seq, step);
    step.timers.trim(step.environment.now + step.environment.settings.retention.room / 3);
}

fn on_ordered(
    local: &mut LocalRoom,
    step: &mut StepContext<'_>,
    id: &MessageId,
    outcome: &Outcome,
    refusal: Option<&str>,
) {
    match outcome {
        Outcome::Appended(seq) => {
            local.note_head(*seq, step);
            settle(local, step, id);
        }
        Outcome::Refused(code) => {
            let text = refusal.unwrap_or_else(|| refused_text(*code));
            refuse_ordered(&mut local.members, step, id, ErrorFrame::new(*code, text));
            settle(local, step, id);
        }
        Outcome::OutOfOrder { expected } => {
            let text = format!("the next message is expected to have mid {expected}");
            let error = ErrorFrame::new(ErrorCode::OutOfOrder, &text);
            let error = ErrorFrame { expected: Some(*expected), ..error };
            refuse_ordered(&mut local.members, step, id, error);
        }
        Outcome::Recovering => {
            let error = unavailable("the room is being put back");
            refuse_ordered(&mut local.members, step, id, error);
        }
        Outcome::Replaced(by) => on_claim_lost(local, step, id, (true, *by)),
        Outcome::Gone(by) => on_claim_lost(local, step, id, (false, *by)),
        Outcome::Settled => settle(local, step, id),
        Outcome::Joined(_)
        | Outcome::JoinRefused(_)
        | Outcome::Suspected(_)
        | Outcome::More
        | Outcome::Stale
        | Outcome::Posted(_)
        | Outcome::Number(_)
        | Outcome::Head(_)
        | Outcome::Calls(_)
        | Outcome::Room(_) => {}
    }
}

/// Settles a message, and acknowledges its member at once or within [`signal_protocol::limits::ACK_WITHIN_MS`].
fn settle(local: &mut LocalRoom, step: &mut StepContext<'_>, id: &MessageId) {
    let Some(member) = local.members.of_socket(&id.peer, id.socket) else { return };
    if member.settle(id.mid) {
        local.members.ack(&id.peer, step.room, local.cursor.position());
    } else {
        step.timers.ack(step.environment.now);
    }
}

/// The log rejects the member's claim: the entry that says why is on its way.
fn on_claim_lost(
    local: &mut LocalRoom,
    step: &mut StepContext<'_>,
    id: &MessageId,
    (replaced, by): (bool, Seq),
) {
    local.note_head(by, step);
    if let Some(member) = local.members.of_socket(&id.peer, id.socket) {
        let lost = LostClaim { claim: member.claim.clone(), socket: id.socket, replaced, by };
        local.recovery.claim_lost(lost);
    }
}
