//! Putting back what the log has lost, and what a room believes about claims that the log does not know.
//!
//! Redis may come back without its last writes. Every node then restores the members whose sockets it holds and
//! appends a `reset` with the roster. What must hold:
//!
//! - A restore goes before everything else that waits: an op of a member that the log does not know would be answered
//!   `Gone`, and a join could take the seat of a member that is still connected.
//! - One restore at a time, and none between our own reset and the delivery of its entry (`reset_at`): until then the
//!   position is still the one before the loss, and every look at it would find the same loss again.
//! - A member whose claim the log rejects stays until the entry that says why was delivered: it must hear everything up
//!   to that entry, and `left` comes at exactly that place. If the position passes the entry and the member is still
//!   here, the entry is lost: a replaced member ends, and a member that nobody removed is restored.

use std::cmp::Ordering;

use signal_protocol::{LeftReason, Seq};
use tracing::{info, warn};

use super::append_queue::{AppendQueue, QueuedOp};
use super::effect::{Count, StepContext};
use super::fanout;
use super::members::{Member, Members};
use super::pending_joins::{PendingJoins, activate, disconnect_for_snapshot};
use crate::log::{Claim, Op, RESTORE_WINDOW, ResetMember, RosterMember, SocketId};

/// A member whose claim the log has rejected.
pub(super) struct LostClaim {
    pub(super) claim: Claim,
    pub(super) socket: SocketId,
    /// Whether another socket holds the member; otherwise the log does not know it.
    pub(super) replaced: bool,
    /// The entry by which the log must have said so.
    pub(super) by: Seq,
}

/// What one room remembers of losses.
#[derive(Default)]
pub(super) struct LossRecovery {
    lost_claims: Vec<LostClaim>,
    /// The last reset that this node has appended.
    reset_at: Seq,
    /// Whether a restore was needed while another one was under way: that one may have gone to a log that is lost too.
    is_needed: bool,
}

impl LossRecovery {
    /// Notes a claim that the log has rejected.
    pub(super) fn claim_lost(&mut self, lost: LostClaim) {
        self.lost_claims.push(lost);
    }

    /// Notes the entry of our own reset.
    pub(super) fn restored(&mut self, seq: Seq) {
        self.reset_at = seq;
    }

    /// Finds out whether the log still has our own reset, and notes that it was lost with the log if its order skips it.
    pub(super) fn find_reset(&mut self, skips: impl FnOnce(Seq) -> bool) {
        if skips(self.reset_at) {
            self.reset_at = Seq(0);
        }
    }

    /// Ends or restores the members whose entry was passed without a word about them, and restores the joins whose own
    /// entry was: a log that was emptied behind a first join goes on from where that join began.
    pub(super) fn resolve_lost_claims(
        &mut self,
        position: Seq,
        joins: &PendingJoins,
        members: &mut Members,
        queue: &mut AppendQueue,
        step: &mut StepContext<'_>,
    ) {
        for lost in std::mem::take(&mut self.lost_claims) {
            let member = members.of_socket(&lost.claim.peer, lost.socket);
            // The entry itself may have given the member a new claim.
            if member.is_none_or(|member| member.claim != lost.claim) {
                continue;
            }
            if lost.by > position {
                self.lost_claims.push(lost);
            } else if lost.replaced {
                fanout::end(members, step.room, &lost.claim.peer, LeftReason::Replaced);
            } else {
                self.restore(position, joins, members, queue, step);
            }
        }
        if joins.is_passed(position) {
            self.restore(position, joins, members, queue, step);
        }
    }

    /// Restores everything that is known here, unless that is under way.
    pub(super) fn restore(
        &mut self,
        position: Seq,
        joins: &PendingJoins,
        members: &Members,
        queue: &mut AppendQueue,
        step: &mut StepContext<'_>,
    ) {
        if queue.is_recovering() {
            self.is_needed = true;
        } else if self.reset_at <= position {
            self.is_needed = false;
            restore_now(joins, members, queue, step);
        }
    }

    /// Tells whether a restore is needed although ours has been answered: its reset lies before what was delivered since.
    pub(super) fn is_needed(&self, position: Seq) -> bool {
        self.is_needed && self.reset_at <= position
    }

    /// Applies a reset: history was lost, and the roster is who is left.
    pub(super) fn on_reset(
        &mut self,
        (seq, roster): (Seq, &[ResetMember]),
        joins: &mut PendingJoins,
        members: &mut Members,
        queue: &mut AppendQueue,
        step: &mut StepContext<'_>,
    ) {
        info!(room.id = %step.room, "room {} was reset with {} members", step.room, roster.len());
        self.lost_claims.clear();
        self.is_needed = false;
        step.timers.nobody_away();
        for reset_member in roster {
            if let Some(away) = reset_member.line.away {
                step.member_away(&reset_member.line.peer, away);
            }
        }
        step.effects.watch.extend(roster.iter().map(|reset_member| reset_member.line.node.clone()));
        let missing = activate_after_reset((seq, roster), joins, members, queue, step);
        let lines = roster.iter().map(|reset_member| &reset_member.line);
        detach_ghosts(lines, joins, members, queue, step);
        step.timers.confirm(step.environment.now + RESTORE_WINDOW);
        if missing || members.iter().any(|member| is_lost(member, roster)) {
            self.restore(seq, joins, members, queue, step);
        } else if seq != self.reset_at {
            confirm(members, queue);
        }
    }
}

/// Confirms that the members here have their sockets here: the log marks those away that no node confirms.
fn confirm(members: &Members, queue: &mut AppendQueue) {
    let claims = members.iter().map(|member| member.claim.clone());
    let reclaims = claims.map(|by| QueuedOp::housekeeping(Op::Reclaim { by }));
    // Before what waits: the log takes no message of a member before it is confirmed.
    queue.push_front(reclaims.collect());
}

/// Queues the restore of every member and pending join, and a reset, before everything else.
pub(super) fn restore_now(
    joins: &PendingJoins,
    members: &Members,
    queue: &mut AppendQueue,
    step: &mut StepContext<'_>,
) {
    warn!(room.id = %step.room, "the log of room {} has lost writes; restoring its members", step.room);
    step.count(Count::Reset);
    let members = members.iter().map(Member::snapshot);
    let restores = members.chain(joins.snapshots()).map(|member| Op::Restore(Box::new(member)));
    queue.push_front(restores.chain([Op::Reset]).map(QueuedOp::housekeeping).collect());
}

/// Ends the wait of the joins whose entry was lost with the history: the member is made if the reset holds it, and
/// its socket ends if the reset holds another claim. Tells whether some are in no roster and have to be restored.
fn activate_after_reset(
    (seq, roster): (Seq, &[ResetMember]),
    joins: &mut PendingJoins,
    members: &mut Members,
    queue: &mut AppendQueue,
    step: &mut StepContext<'_>,
) -> bool {
    let mut missing = false;
    for joined in joins.before(seq) {
        let Some(pending) = joins.get(joined) else { continue };
        let reset_member =
            roster.iter().find(|reset_member| pending.is_of(&reset_member.line.peer));
        match reset_member.map(|reset_member| reset_member.generation.cmp(&joined)) {
            Some(Ordering::Equal) => activate(joins, (joined, None), members, queue, step),
            Some(Ordering::Greater) => {
                let replaced = joins.remove(joined).map(|pending| pending.into_member());
                disconnect_for_snapshot(replaced, queue, step.room);
            }
            Some(Ordering::Less) | None => missing = true,
        }
    }
    missing
}

/// Detaches the members that the log takes for ours and that have no socket here: they left this node before a loss, and
/// every other node takes them for ours as well.
pub(super) fn detach_ghosts<'a>(
    roster: impl IntoIterator<Item = &'a RosterMember>,
    joins: &PendingJoins,
    members: &Members,
    queue: &mut AppendQueue,
    step: &StepContext<'_>,
) {
    let node = &step.environment.settings.node;
    for line in roster {
        let is_here = line.node == *node && line.away.is_none();
        let is_held = members.get(&line.peer).is_some()
            || queue.has_join(&line.peer)
            || joins.holds(&line.peer);
        if is_here && !is_held {
            let by = Claim { peer: line.peer.clone(), generation: line.joined };
            queue.push_housekeeping(Op::Detach { by });
        }
    }
}

/// Tells whether the log knows less of a member than its node does.
fn is_lost(member: &Member, roster: &[ResetMember]) -> bool {
    let known = roster.iter().find(|reset_member| reset_member.line.peer == member.claim.peer);
    known.is_none_or(|known| {
        known.generation < member.claim.generation
            || (known.generation == member.claim.generation && known.mid < member.last_in_log())
    })
}
