//! What a room does about silent nodes, lost history and members that were taken from it.

use std::cmp::Ordering;

use signal_protocol::server::ErrorFrame;
use signal_protocol::{ErrorCode, PeerId, Seq, ServerMessage};
use tracing::{info, warn};

use super::append_queue::{QueuedOp, Requester};
use super::members::Member;
use super::outbox::{Delivery, FrameEvent};
use super::worker::Worker;
use crate::log::{Claim, Op, Survivor};

impl Worker {
    /// Some nodes fell silent, or spoke again.
    pub(super) fn suspect(&mut self) {
        let silent = self.context.liveness.silent();
        if !silent.is_empty() && !self.members.is_empty() {
            self.queue.push(Op::Suspect { silent }, Requester::Housekeeping);
        }
    }

    /// Removes who has been away for too long, unless this node cannot judge that yet.
    pub(super) fn expire(&mut self) {
        let grace = self.context.settings.grace;
        if self.context.liveness.in_contact_for(grace) {
            self.queue.push(Op::Expire { grace }, Requester::Housekeeping);
        }
    }

    /// A member whose socket lives here was suspected: takes it back, once.
    pub(super) fn reclaim(&mut self, peer: &PeerId, generation: Seq) -> Option<QueuedOp> {
        let member = self.members.get_mut(peer)?;
        if member.claim.generation >= generation {
            return None;
        }
        let old = member.claim.clone();
        member.claim.generation = generation;
        let by = member.claim.clone();
        self.queue.renew(&old, generation);
        self.context.metrics.reclaimed.inc();
        Some(QueuedOp::housekeeping(Op::Reclaim { by }))
    }

    /// Puts everything that is known here back into the log, before anything else is asked of it.
    pub(super) fn restore(&mut self) {
        if self.queue.is_recovering() || self.reset_at > self.cursor.position() {
            return;
        }
        self.restore_now();
    }

    fn restore_now(&mut self) {
        warn!(room.id = %self.room, "the log of room {} has lost writes; restoring its members", self.room);
        self.context.metrics.resets.inc();
        let members = self.members.iter().map(Member::restored);
        let pending_joins = self.pending_joins.values().map(|arrival| arrival.restored());
        let restored = members.chain(pending_joins).map(|restored| Op::Restore(Box::new(restored)));
        let steps = restored.chain([Op::Reset]).map(QueuedOp::housekeeping).collect();
        self.queue.push_front(steps);
    }

    /// The log ends before what we have seen of it: nothing of the call has happened.
    pub(super) fn rolled_back(&mut self, steps: Vec<QueuedOp>) {
        self.queue.push_front(steps);
        self.restore_now();
    }

    /// The log has taken everything back; what it says from `seq` on is whole again.
    pub(super) fn restored(&mut self, seq: Seq) {
        self.reset_at = seq;
        self.note_head(seq);
    }

    /// History was lost, and this is who is left.
    pub(super) fn reset(&mut self, seq: Seq, roster: &[Survivor]) {
        info!(room.id = %self.room, "room {} was reset with {} members", self.room, roster.len());
        self.lost_claims.clear();
        self.timers.nobody_away();
        for survivor in roster {
            if let Some(away) = survivor.line.away {
                let grace = self.context.settings.grace;
                self.timers.away(&survivor.line.peer, grace.saturating_sub(away));
            }
        }
        self.context.liveness.watch(roster.iter().map(|survivor| &survivor.line.node));
        let missing = self.activate_after_reset(seq, roster);
        self.detach_ghosts(roster);
        if missing || self.members.iter().any(|member| is_lost(member, roster)) {
            self.restore();
        }
    }

    /// A join whose entry was lost with the history takes effect here if it was restored, and ends if it holds
    /// its member no more. Tells whether some are still to be restored.
    fn activate_after_reset(&mut self, seq: Seq, roster: &[Survivor]) -> bool {
        let later = self.pending_joins.split_off(&seq);
        for (joined, arrival) in std::mem::replace(&mut self.pending_joins, later) {
            let survivor = roster.iter().find(|survivor| arrival.is_of(&survivor.line.peer));
            match survivor.map(|survivor| survivor.generation.cmp(&joined)) {
                Some(Ordering::Equal) => self.activate(None, *arrival),
                Some(Ordering::Greater) => self.disconnect_for_snapshot(arrival.into_member()),
                Some(Ordering::Less) | None => drop(self.pending_joins.insert(joined, arrival)),
            }
        }
        self.pending_joins.range(..seq).next().is_some()
    }

    /// A member that left this node before the loss is in the roster again: nobody will miss it but us.
    fn detach_ghosts(&mut self, roster: &[Survivor]) {
        let ours =
            |s: &&Survivor| s.line.node == self.context.settings.node && s.line.away.is_none();
        let ghosts = roster.iter().filter(ours).filter(|s| !self.holds(&s.line.peer));
        let claim = |s: &Survivor| Claim { peer: s.line.peer.clone(), generation: s.generation };
        let claims: Vec<Claim> = ghosts.map(claim).collect();
        for by in claims {
            self.queue.push(Op::Detach { by }, Requester::Housekeeping);
        }
    }

    /// What was missed cannot be told: the members here have to come back for a snapshot.
    pub(super) fn disconnect_members(&mut self) {
        let peers: Vec<PeerId> = self.members.iter().map(|m| m.claim.peer.clone()).collect();
        for peer in peers {
            self.disconnect_member(&peer);
        }
    }

    /// What one member missed cannot be told.
    pub(super) fn disconnect_member(&mut self, peer: &PeerId) {
        if let Some(member) = self.members.remove(peer) {
            self.disconnect_for_snapshot(member);
        }
    }

    /// Ends the connection of a member, so that it comes back for a snapshot.
    pub(super) fn disconnect_for_snapshot(&mut self, member: Member) {
        let error = ErrorFrame::new(ErrorCode::Unavailable, "the room's history was lost here");
        let frame = ServerMessage::Error(error).to_json();
        member.outbox.push(Delivery::from(frame).with_event(FrameEvent::Lost(self.room.clone())));
        // Its session will say that the socket is gone, but then it is no member here any more.
        self.queue.push(Op::Detach { by: member.claim }, Requester::Housekeeping);
    }
}

/// Tells whether the log note_head less of a member than its node does.
fn is_lost(member: &Member, roster: &[Survivor]) -> bool {
    let known = roster.iter().find(|survivor| survivor.line.peer == member.claim.peer);
    known.is_none_or(|known| {
        known.generation < member.claim.generation
            || (known.generation == member.claim.generation && known.mid < member.taken())
    })
}
