//! From the outcome of a join to the member that it makes, at exactly its entry in the log.

use std::sync::Arc;

use signal_protocol::server::{ErrorFrame, SelfView, milliseconds};
use signal_protocol::{ErrorCode, IceServers, LeftReason, PeerId, Recovery, Seq, ServerMessage};

use super::append_queue::Requester;
use super::command::Reply;
use super::fanout;
use super::members::Member;
use super::outbox::{Delivery, FrameEvent};
use super::worker::Worker;
use crate::log::{Claim, Join, JoinRefusal, Joined, Op, Outcome, Record, Restored};

/// A join that took effect, until the worker reaches its entry.
pub(super) struct PendingJoin {
    join: Join,
    joined: Joined,
    ice: Option<Arc<IceServers>>,
    reply: Reply,
}

impl PendingJoin {
    /// Tells whose join it is.
    pub(super) fn is_of(&self, peer: &PeerId) -> bool {
        self.join.peer == *peer
    }

    /// Makes the member of it that it would have become.
    pub(super) fn into_member(self) -> Member {
        Member::new(self.join, &self.joined, self.reply.outbox)
    }

    /// Returns what it takes to put the member back into a room that has lost it.
    pub(super) fn restored(&self) -> Restored {
        let Self { join, joined, .. } = self;
        Restored {
            by: Claim { peer: join.peer.clone(), generation: joined.seq },
            socket: join.socket,
            n: joined.n,
            mid: joined.mid,
            record: Record::new(join.clone(), joined),
        }
    }
}

impl Worker {
    pub(super) fn join_outcome(
        &mut self,
        join: Join,
        ice: Option<Arc<IceServers>>,
        reply: Reply,
        outcome: Outcome,
    ) {
        let joined = match outcome {
            Outcome::Joined(joined) => *joined,
            Outcome::JoinRefused(refusal) => return self.refuse_join(&reply, refusal),
            Outcome::Mending => return self.join_again(join, ice, reply),
            _ => return self.refuse_join(&reply, JoinRefusal::Replaced),
        };
        let grace = self.context.settings.grace;
        for (peer, away) in joined.roster.iter().filter_map(|m| Some((&m.peer, m.away?))) {
            self.timers.away(peer, grace.saturating_sub(away));
        }
        self.context.liveness.watch(joined.roster.iter().map(|member| &member.node));
        self.cursor.begin(joined.base);
        self.note_head(joined.seq);
        self.timers.tend(self.context.settings.retention.room / 3);
        if joined.seq > self.cursor.position() {
            let seq = joined.seq;
            self.pending_joins.insert(seq, Box::new(PendingJoin { join, joined, ice, reply }));
        } else {
            // Its entry was among those that could not be told here.
            self.disconnect_for_snapshot(Member::new(join, &joined, reply.outbox));
        }
    }

    /// Ends the connections of those whose entry was passed over: it is gone from the log, and so nobody
    /// would ever answer their join.
    pub(super) fn disconnect_passed_joins(&mut self) {
        let position = self.cursor.position();
        while let Some(entry) =
            self.pending_joins.first_entry().filter(|entry| *entry.key() <= position)
        {
            let arrival = entry.remove();
            self.disconnect_for_snapshot(arrival.into_member());
        }
    }

    fn refuse_join(&self, reply: &Reply, refusal: JoinRefusal) {
        let room = &self.room;
        let (code, message, after) = match refusal {
            JoinRefusal::Full { capacity, after } => {
                let text = format!("room '{room}' takes {capacity} members and has as many");
                (ErrorCode::RoomFull, text, after)
            }
            JoinRefusal::Locked => {
                (ErrorCode::RoomLocked, format!("room '{room}' takes no new members"), None)
            }
            JoinRefusal::Forbidden => {
                (ErrorCode::Forbidden, format!("room '{room}' does not admit you"), None)
            }
            JoinRefusal::TooManyOfSubject => {
                let text = format!("too many members of this subject are in room '{room}'");
                (ErrorCode::LimitExceeded, text, None)
            }
            JoinRefusal::Replaced => {
                let reason = LeftReason::Replaced;
                let frame = ServerMessage::Left { room, reason }.to_json();
                let event = FrameEvent::Ended(room.clone(), reason);
                reply.outbox.push(Delivery::from(frame).with_event(event));
                return;
            }
        };
        self.context.metrics.refused(code);
        let after = after.map(milliseconds);
        let error = ErrorFrame { after, ..ErrorFrame::new(code, &message) };
        reply.refuse(error, Some(FrameEvent::Refused(room.clone())));
    }

    /// The join's entry is reached: from here on the member hears everything, as soon as it has been told
    /// what it missed up to the entry `before`; nothing, if a reset has to speak for that.
    pub(super) fn activate(&mut self, before: Option<Seq>, arrival: PendingJoin) {
        let PendingJoin { join, joined, ice, reply } = arrival;
        let claim = Claim { peer: join.peer.clone(), generation: joined.seq };
        if reply.outbox.is_closed() {
            return self.queue.push(Op::Detach { by: claim }, Requester::Housekeeping);
        }
        self.context.metrics.joined(joined.recovery);
        self.room_size = joined.roster.len() + 1;
        let delivery = self.welcome(&join.peer, &joined, ice.as_deref(), &reply);
        let position = join.position.filter(|_| joined.recovery == Recovery::Replay);
        let mut member = Member::new(join, &joined, reply.outbox.clone());
        match position.filter(|position| before.is_some_and(|before| *position < before)) {
            Some(position) => self.begin_replay(&mut member, position, delivery),
            None => drop(reply.outbox.push(delivery)),
        }
        self.members.insert(member);
    }

    /// Writes `joined`.
    fn welcome(
        &self,
        peer: &PeerId,
        joined: &Joined,
        ice: Option<&IceServers>,
        reply: &Reply,
    ) -> Delivery {
        let replayed = joined.recovery == Recovery::Replay;
        let peers = (!replayed).then(|| fanout::roster((joined.n, peer), joined.roster.iter()));
        let frame = ServerMessage::Joined {
            id: reply.id,
            room: &self.room,
            seq: joined.seq,
            recovery: joined.recovery,
            mid: joined.mid,
            me: SelfView { id: peer, n: joined.n },
            peers,
            ice,
        };
        Delivery::from(frame.to_json()).with_event(FrameEvent::Joined(self.room.clone()))
    }
}
