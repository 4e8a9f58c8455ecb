//! The members of a room whose sockets are on this node, and what they are owed.

use std::sync::Arc;

use signal_protocol::{Mid, PeerId, RoomId, Seq, ServerMessage, limits};

use super::outbox::Outbox;
use crate::log::{Claim, Join, Joined, Payload, Record, Restored, SocketId};

/// A client to which nothing was addressed for this many entries is sent its position.
const SEND_POSITION_EVERY: u64 = 256;

/// A room of more than this grows by doubling.
const FEW: usize = 8;

/// One member with a socket here.
pub(super) struct Member {
    pub(super) claim: Claim,
    pub(super) socket: SocketId,
    pub(super) outbox: Arc<Outbox>,
    /// Its number among the joins of the room.
    pub(super) n: u64,
    /// What restores the member in a log that has lost it.
    record: Box<Record>,
    /// How far its replay is, while there is one. The room pushes no new entry to it meanwhile: the replay does, in
    /// their order.
    behind: Option<Seq>,
    /// Messages on their way to the log.
    pending: u64,
    /// The last message that is settled.
    settled: Mid,
    /// Its last message whose entry was delivered here; the answer to the call may still be on its way, or lost.
    in_log: Mid,
    /// The last message that was acknowledged.
    acked: Mid,
    /// The last message that has replaced its `meta`.
    updated_by: Mid,
    /// The last position that was sent to the client.
    sent: Seq,
    /// The count of delivered entries when it was sent.
    sent_at: u64,
}

impl Member {
    pub(super) fn new(join: Join, joined: &Joined, outbox: Arc<Outbox>) -> Self {
        let (sent, mid) = (joined.seq, joined.mid);
        Self {
            claim: Claim { peer: join.peer.clone(), generation: joined.seq },
            socket: join.socket,
            outbox,
            n: joined.n,
            record: Box::new(Record::new(join, joined)),
            behind: None,
            pending: 0,
            settled: mid,
            in_log: mid,
            acked: mid,
            updated_by: mid,
            sent,
            sent_at: 0,
        }
    }

    /// Returns how many messages wait for their `ack`.
    pub(super) fn unacked(&self) -> u64 {
        self.pending + (self.settled.0 - self.acked.0)
    }

    /// Notes that a message is on its way to the log.
    pub(super) fn message_queued(&mut self) {
        self.pending += 1;
    }

    /// Notes that the log has answered a message, whatever it said.
    pub(super) fn message_answered(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// Notes that a message is settled; tells whether an `ack` is due at once.
    pub(super) fn settle(&mut self, mid: Mid) -> bool {
        self.settled = self.settled.max(mid);
        self.settled.0 - self.acked.0 >= limits::ACK_EVERY
    }

    /// Notes that the entry of a message was delivered.
    pub(super) fn message_in_log(&mut self, mid: Mid) {
        self.in_log = self.in_log.max(mid);
    }

    /// Returns the last message that the log is known to hold. A restore says so, even of a message whose answer is
    /// still on its way: the log would append it twice otherwise.
    pub(super) fn last_in_log(&self) -> Mid {
        self.settled.max(self.in_log)
    }

    /// Tells whether an `ack` is owed.
    pub(super) fn owes_ack(&self) -> bool {
        self.settled > self.acked
    }

    /// Notes that a frame with this position was pushed.
    pub(super) fn position_sent(&mut self, seq: Seq, delivered: u64) {
        self.sent = seq;
        self.sent_at = delivered;
    }

    /// Replaces the member's `meta`, as the log has done with this message. Both its answer and its entry tell it.
    pub(super) fn set_meta(&mut self, mid: Mid, meta: &Payload) {
        if mid > self.updated_by {
            self.updated_by = mid;
            self.record.meta = meta.clone();
        }
    }

    /// Tells whether new entries are pushed to it as they are delivered.
    pub(super) fn is_live(&self) -> bool {
        self.behind.is_none()
    }

    /// Notes how far its replay is; `None`: it is over.
    pub(super) fn set_behind(&mut self, behind: Option<Seq>) {
        self.behind = behind;
    }

    /// Returns the entry of its join.
    pub(super) fn joined_at(&self) -> Seq {
        self.record.joined
    }

    /// Returns what restores the member.
    pub(super) fn snapshot(&self) -> Restored {
        Restored {
            by: self.claim.clone(),
            socket: self.socket,
            n: self.n,
            mid: self.last_in_log(),
            record: Record::clone(&self.record),
        }
    }

    fn ack(&mut self, room: &RoomId, position: Seq, delivered: u64) {
        let seq = self.behind.unwrap_or(position);
        self.acked = self.settled;
        self.position_sent(seq, delivered);
        self.outbox.push(ServerMessage::Ack { room, mid: self.settled, seq }.to_json());
    }
}

/// The members of one room with sockets here.
#[derive(Default)]
pub(super) struct Members {
    /// In the order of their ids: they are found by it, and a simulation takes the same course each time.
    sorted: Vec<Member>,
    /// How many entries the room has delivered here.
    delivered: u64,
    /// How many members the room has on all nodes, as of the last delivered entry.
    room_size: usize,
}

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Finds where the member is, or where it would be.
    fn find(&self, peer: &PeerId) -> Result<usize, usize> {
        self.sorted.binary_search_by(|member| member.claim.peer.cmp(peer))
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&Member> {
        self.find(peer).ok().map(|at| &self.sorted[at])
    }

    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Member> {
        self.find(peer).ok().map(|at| &mut self.sorted[at])
    }

    /// Finds the member if this socket still holds it.
    pub(super) fn of_socket(&mut self, peer: &PeerId, socket: SocketId) -> Option<&mut Member> {
        self.get_mut(peer).filter(|member| member.socket == socket)
    }

    pub(super) fn insert(&mut self, mut member: Member) {
        member.sent_at = self.delivered;
        match self.find(&member.claim.peer) {
            Ok(at) => self.sorted[at] = member,
            Err(at) => {
                // Most rooms are small and stay so.
                self.sorted.reserve_exact(if self.sorted.len() < FEW {
                    1
                } else {
                    self.sorted.len()
                });
                self.sorted.insert(at, member);
            }
        }
    }

    pub(super) fn remove(&mut self, peer: &PeerId) -> Option<Member> {
        let at = self.find(peer).ok()?;
        Some(self.sorted.remove(at))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.sorted.iter()
    }

    /// Walks the members to which new entries are pushed as they are delivered.
    pub(super) fn live(&mut self) -> impl Iterator<Item = &mut Member> {
        self.sorted.iter_mut().filter(|member: &&mut Member| member.is_live())
    }

    /// Takes all of them out.
    pub(super) fn take_all(&mut self) -> Vec<Member> {
        std::mem::take(&mut self.sorted)
    }

    /// Notes how many members the room has on all nodes.
    pub(super) fn set_room_size(&mut self, size: usize) {
        self.room_size = size;
    }

    /// Returns how many members the room has on all nodes.
    pub(super) fn room_size(&self) -> usize {
        self.room_size
    }

    /// Returns to how many members a message to all others goes.
    pub(super) fn others(&self) -> usize {
        self.room_size.saturating_sub(1)
    }

    /// Returns how many entries were delivered here so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Counts a delivered entry; now and then sends a position to members to which nothing was addressed for long.
    pub(super) fn count(&mut self, room: &RoomId, position: Seq) {
        self.delivered += 1;
        if self.delivered.is_multiple_of(SEND_POSITION_EVERY / 4) {
            let delivered = self.delivered;
            let quiet = |member: &&mut Member| delivered - member.sent_at >= SEND_POSITION_EVERY;
            self.live().filter(quiet).for_each(|m| m.ack(room, position, delivered));
        }
    }

    /// Acknowledges one member.
    pub(super) fn ack(&mut self, peer: &PeerId, room: &RoomId, position: Seq) {
        let delivered = self.delivered;
        if let Some(member) = self.get_mut(peer) {
            member.ack(room, position, delivered);
        }
    }

    /// Acknowledges everyone to whom an `ack` is owed.
    pub(super) fn ack_owed(&mut self, room: &RoomId, position: Seq) {
        let delivered = self.delivered;
        let owed = self.sorted.iter_mut().filter(|member| member.owes_ack());
        owed.for_each(|member| member.ack(room, position, delivered));
    }

    /// Sends the position to every member that does not know it.
    pub(super) fn send_position(&mut self, room: &RoomId, position: Seq) {
        let delivered = self.delivered;
        let behind = self.live().filter(|member| member.sent < position);
        behind.for_each(|member| member.ack(room, position, delivered));
    }
}
