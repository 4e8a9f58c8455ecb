//! What the answers of the log, and the entries they announced, mean for the members here.

use std::sync::Arc;
use std::time::Duration;

use signal_protocol::server::{ErrorFrame, SelfView};
use signal_protocol::{
    ErrorCode, IceServers, LeftReason, Mid, PeerId, Recovery, Seq, ServerMessage,
};

use super::calls::{Origin, Reply};
use super::fanout;
use super::members::Member;
use super::outbox::{Delivery, Mark};
use super::worker::Worker;
use crate::log::{Claim, Entry, JoinRefusal, Joined, Op, Outcome, SocketId};

/// A join that took effect, until the worker reaches its entry.
pub(super) struct Arrival {
    joined: Joined,
    socket: SocketId,
    ice: Option<Arc<IceServers>>,
    reply: Reply,
}

impl Worker {
    pub(super) fn outcome(&mut self, origin: Origin, outcome: Outcome) {
        match origin {
            Origin::Join { socket, ice, reply, .. } => {
                self.join_outcome(socket, ice, reply, outcome);
            }
            Origin::Kept { peer, socket, mid, refusal } => {
                self.answered(&peer, socket);
                self.kept_outcome(&peer, socket, mid, &outcome, refusal.as_deref());
            }
            Origin::Leave { peer, reply } => self.left(&peer, &reply),
            Origin::Kick { reply } => match outcome {
                Outcome::Refused(code) => {
                    self.metrics.refused(code);
                    reply.refuse(ErrorFrame::new(code, refused_text(code)), None);
                }
                _ => reply.ok(None),
            },
            Origin::Housekeeping => {}
        }
    }

    fn join_outcome(
        &mut self,
        socket: SocketId,
        ice: Option<Arc<IceServers>>,
        reply: Reply,
        outcome: Outcome,
    ) {
        let joined = match outcome {
            Outcome::Joined(joined) => *joined,
            Outcome::JoinRefused(refusal) => return self.refuse_join(&reply, refusal),
            _ => return self.refuse_join(&reply, JoinRefusal::Replaced),
        };
        let grace = self.settings.grace;
        for (peer, away) in joined.roster.iter().filter_map(|m| Some((&m.peer, m.away?))) {
            self.timers.away(peer, grace.saturating_sub(away));
        }
        self.track.begin(joined.base);
        self.timers.tend(self.settings.retention.room / 3);
        self.arrivals.insert(joined.seq, Arrival { joined, socket, ice, reply });
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
                let mark = Mark::Ended(room.clone(), reason);
                reply.outbox.hand(Delivery::from(frame).marked(mark));
                return;
            }
        };
        self.metrics.refused(code);
        let after = after.map(milliseconds);
        let error = ErrorFrame { after, ..ErrorFrame::new(code, &message) };
        reply.refuse(error, Some(Mark::Refused(room.clone())));
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
            Outcome::Appended(_) | Outcome::Settled => self.settled(peer, socket, mid),
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
            Outcome::Replaced => self.end(peer, socket, LeftReason::Replaced),
            Outcome::Gone => self.end(peer, socket, LeftReason::Expired),
            Outcome::Joined(_) | Outcome::JoinRefused(_) => {}
        }
    }

    fn settled(&mut self, peer: &PeerId, socket: SocketId, mid: Mid) {
        let Some(member) = self.members.of_socket(peer, socket) else { return };
        if member.settle(mid) {
            self.members.ack(peer, &self.room, self.track.position());
        } else {
            self.timers.ack();
        }
    }

    /// Ends a membership here that the log has ended already.
    fn end(&mut self, peer: &PeerId, socket: SocketId, reason: LeftReason) {
        if self.members.of_socket(peer, socket).is_some()
            && let Some(member) = self.members.remove(peer)
        {
            fanout::end(&member, &self.room, reason);
        }
    }

    /// Whatever the log says, the member is not in the room any more.
    fn left(&mut self, peer: &PeerId, reply: &Reply) {
        self.members.remove(peer);
        reply.ok(Some(Mark::Left(self.room.clone())));
    }

    /// Does what an entry means here, before it is told to the others.
    pub(super) fn meet(&mut self, seq: Seq, entry: &Entry) {
        match entry {
            Entry::Joined { peer, .. } => {
                self.timers.back(peer);
                if let Some(former) = self.members.remove(peer) {
                    fanout::end(&former, &self.room, LeftReason::Replaced);
                }
                if let Some(arrival) = self.arrivals.remove(&seq) {
                    self.arrive(peer, arrival);
                }
            }
            Entry::Away { peer } => self.timers.away(peer, self.settings.grace),
            Entry::Left { peer, reason } => {
                self.timers.back(peer);
                if let Some(reason) = fanout::told_reason(*reason)
                    && let Some(member) = self.members.remove(peer)
                {
                    fanout::end(&member, &self.room, reason);
                }
            }
            Entry::Signal { .. } | Entry::Updated { .. } => {}
        }
    }

    /// The join's entry is reached: from here on the member hears everything.
    fn arrive(&mut self, peer: &PeerId, arrival: Arrival) {
        let Arrival { joined, socket, ice, reply } = arrival;
        let claim = Claim { peer: peer.clone(), generation: joined.seq };
        if reply.outbox.is_closed() {
            return self.calls.push(Op::Detach { by: claim }, Origin::Housekeeping);
        }
        let me = SelfView { id: peer, n: joined.n };
        let peers = fanout::roster((joined.n, peer), &joined.roster);
        let told = joined.recovery != Recovery::Replay;
        let frame = ServerMessage::Joined {
            id: reply.id,
            room: &self.room,
            seq: joined.seq,
            recovery: joined.recovery,
            mid: joined.mid,
            me,
            peers: told.then_some(peers),
            ice: ice.as_deref(),
        };
        let delivery = Delivery::from(frame.to_json()).marked(Mark::Joined(self.room.clone()));
        reply.outbox.hand(delivery);
        self.metrics.joined(joined.recovery);
        self.members.insert(Member::new(claim, socket, reply.outbox, joined.mid));
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn refused_text(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::PeerNotFound => "nobody of that id is in the room",
        _ => "the message was refused",
    }
}
