//! What the answers of the log, and the entries they announced, mean for the members here.

use std::collections::BTreeMap;
use std::time::Duration;

use signal_protocol::server::ErrorFrame;
use signal_protocol::{ErrorCode, LeftReason, Mid, PeerId, Seq};

use super::append_queue::{QueuedOp, Requester};
use super::command::Reply;
use super::fanout;
use super::outbox::FrameEvent;
use super::requests::unavailable;
use super::worker::Worker;
use crate::log::{Entry, Op, Outcome, SocketId};

/// A member that the log says is not ours any more. It hears everything up to the entry that says why.
pub(super) struct LostClaim {
    peer: PeerId,
    socket: SocketId,
    /// Whether another socket holds it; otherwise nobody note_head it.
    replaced: bool,
    /// The entry by which the log must have said it.
    by: Seq,
}

impl Worker {
    pub(super) fn answered_all(&mut self, answers: Vec<(QueuedOp, Outcome)>, repeated: bool) {
        let mut again = Vec::new();
        for (step, outcome) in answers {
            match outcome {
                Outcome::Suspected(generation) => again.extend(self.suspected(step, generation)),
                outcome => self.outcome(step, outcome, repeated),
            }
        }
        self.queue.push_front(again);
    }

    /// Only a suspicion stands between the step and its effect: it is taken again with the new generation.
    fn suspected(&mut self, mut step: QueuedOp, generation: Seq) -> Vec<QueuedOp> {
        let Some(by) = step.op.claim_mut() else { return Vec::new() };
        let peer = by.peer.clone();
        by.generation = generation;
        // Who has no socket here any more is away, and that is what the log says of it.
        let detaches = matches!(step.op, Op::Detach { .. });
        let reclaim = self.reclaim(&peer, generation);
        reclaim.into_iter().chain((!detaches).then_some(step)).collect()
    }

    fn outcome(&mut self, step: QueuedOp, outcome: Outcome, repeated: bool) {
        match step.requester {
            Requester::Join { ice, reply, .. } => {
                if let Op::Join(join) = step.op {
                    self.join_outcome(*join, ice, reply, outcome);
                }
            }
            Requester::Ordered { peer, socket, mid, refusal } => {
                self.answered(&peer, socket);
                self.kept_outcome(&peer, socket, mid, &outcome, refusal.as_deref());
            }
            Requester::Leave { peer, reply } => self.left(&peer, &reply),
            Requester::Kick { reply } => self.kicked(&reply, &outcome, repeated),
            Requester::Housekeeping => match outcome {
                Outcome::Appended(seq) if matches!(step.op, Op::Reset) => self.restored(seq),
                Outcome::Head(seq) | Outcome::Appended(seq) => self.note_head(seq),
                _ => {}
            },
        }
    }

    /// A call that was made again may have removed the peer the first time.
    fn kicked(&mut self, reply: &Reply, outcome: &Outcome, repeated: bool) {
        match outcome {
            Outcome::Refused(code) if !repeated => {
                self.context.metrics.refused(*code);
                reply.refuse(ErrorFrame::new(*code, refused_text(*code)), None);
            }
            _ => reply.ok(None),
        }
    }

    fn kept_outcome(
        &mut self,
        peer: &PeerId,
        socket: SocketId,
        mid: Mid,
        outcome: &Outcome,
        refusal: Option<&str>,
    ) {
        match outcome {
            Outcome::Appended(seq) => {
                self.note_head(*seq);
                self.settled(peer, socket, mid);
            }
            Outcome::Refused(code) => {
                let text = refusal.unwrap_or_else(|| refused_text(*code));
                self.refuse_kept(peer, socket, mid, ErrorFrame::new(*code, text));
                self.settled(peer, socket, mid);
            }
            Outcome::OutOfOrder { expected } => {
                let text = format!("the next message is expected to have mid {expected}");
                let error = ErrorFrame::new(ErrorCode::OutOfOrder, &text);
                let error = ErrorFrame { expected: Some(*expected), ..error };
                self.refuse_kept(peer, socket, mid, error);
            }
            Outcome::Mending => {
                self.refuse_kept(peer, socket, mid, unavailable("the room is being put back"));
            }
            Outcome::Replaced(by) => self.claim_lost(peer, socket, true, *by),
            Outcome::Gone(by) => self.claim_lost(peer, socket, false, *by),
            Outcome::Settled => self.settled(peer, socket, mid),
            _ => {}
        }
    }

    fn settled(&mut self, peer: &PeerId, socket: SocketId, mid: Mid) {
        let Some(member) = self.members.of_socket(peer, socket) else { return };
        if member.settle(mid) {
            self.members.ack(peer, &self.room, self.cursor.position());
        } else {
            self.timers.ack();
        }
    }

    /// The log holds the member no more for us: the entry that says so is on its way.
    fn claim_lost(&mut self, peer: &PeerId, socket: SocketId, replaced: bool, by: Seq) {
        self.note_head(by);
        self.lost_claims.push(LostClaim { peer: peer.clone(), socket, replaced, by });
    }

    /// Looks after those whose entry never came, although it was passed: the log has lost it, or the member.
    pub(super) fn resolve_lost_claims(&mut self) {
        let position = self.cursor.position();
        for lost_claims in std::mem::take(&mut self.lost_claims) {
            if self.members.of_socket(&lost_claims.peer, lost_claims.socket).is_none() {
                continue;
            }
            if lost_claims.by > position {
                self.lost_claims.push(lost_claims);
            } else if lost_claims.replaced {
                self.end(&lost_claims.peer, LeftReason::Replaced);
            } else {
                // Nobody has removed it, so it is put back.
                self.restore();
            }
        }
    }

    fn end(&mut self, peer: &PeerId, reason: LeftReason) {
        if let Some(member) = self.members.remove(peer) {
            fanout::end(&member, &self.room, reason);
        }
    }

    /// Whatever the log says, the member is not in the room any more.
    fn left(&mut self, peer: &PeerId, reply: &Reply) {
        self.members.remove(peer);
        reply.ok(Some(FrameEvent::Left(self.room.clone())));
    }

    /// Does what an entry means here, before it is told to the others. `before` is the entry before it.
    pub(super) fn apply_entry(&mut self, before: Seq, seq: Seq, entry: &Entry) {
        match entry {
            Entry::Joined { peer, node, resumed, .. } => {
                self.room_size += usize::from(!resumed);
                self.timers.back(peer);
                self.context.liveness.watch([node]);
                self.end(peer, LeftReason::Replaced);
                if let Some(arrival) = self.pending_joins.remove(&seq) {
                    if self.pending_joins.is_empty() {
                        // An empty map that was none keeps its memory.
                        self.pending_joins = BTreeMap::new();
                    }
                    self.activate(Some(before), *arrival);
                }
            }
            Entry::Away { peer, ago } => self.met_away(peer, seq, *ago),
            Entry::Back { peer } => self.timers.back(peer),
            Entry::Left { peer, reason } => {
                self.room_size = self.room_size.saturating_sub(1);
                self.timers.back(peer);
                if let Some(reason) = fanout::told_reason(*reason) {
                    self.end(peer, reason);
                }
            }
            Entry::Updated { peer, mid, meta } => {
                if let Some(member) = self.members.get_mut(peer) {
                    member.met(*mid);
                    member.describe(meta);
                }
            }
            Entry::Reset { roster } => {
                self.room_size = roster.len();
                self.reset(seq, roster);
            }
            Entry::Announced { .. } => {}
            Entry::Signal { from, mid, .. } => {
                if let Some(member) = self.members.get_mut(from) {
                    member.met(*mid);
                }
            }
        }
    }

    fn met_away(&mut self, peer: &PeerId, seq: Seq, ago: Duration) {
        self.timers.away(peer, self.context.settings.grace.saturating_sub(ago));
        if let Some(reclaim) = self.reclaim(peer, seq) {
            self.queue.push_front(vec![reclaim]);
        }
    }
}

fn refused_text(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::PeerNotFound => "nobody of that id is in the room",
        _ => "the message was refused",
    }
}
