//! The members of a room whose sockets are on this node, and what they are owed.

use std::sync::Arc;
use std::time::Duration;

use service_kit::settings::Rate;
use signal_protocol::{Mid, PeerId, RoomId, Seq, ServerMessage, limits};
use tokio::time::Instant;

use super::outbox::Outbox;
use crate::log::{Claim, Join, Joined, Payload, Record, Restored, SocketId};
use crate::token_bucket::TokenBucket;

/// A client to which nothing was addressed for this many entries is told its position.
const TOLD_EVERY: u64 = 256;

/// A room of more than this grows by doubling.
const FEW: usize = 8;

/// One member with a socket here.
pub(super) struct Member {
    pub(super) claim: Claim,
    pub(super) socket: SocketId,
    pub(super) outbox: Arc<Outbox>,
    /// Its number among the joins of the room.
    pub(super) n: u64,
    /// What it takes to put the member back into a room that has lost it.
    record: Box<Record>,
    /// How much more it may have multiplied; full until it says something to all.
    fanout: Option<Box<TokenBucket>>,
    /// While it is told what it missed: how far it is. Until then nothing new is handed to it.
    behind: Option<Seq>,
    /// Messages on their way to the log.
    pending: u64,
    /// The last message that is settled.
    settled: Mid,
    /// The last message that was met in the log; its answer may still be on its way, or lost.
    met: Mid,
    /// The last message that was acknowledged.
    acked: Mid,
    /// The position the client note_head of.
    told: Seq,
    /// The count of delivered entries when it was told.
    told_at: u64,
}

impl Member {
    pub(super) fn new(join: Join, joined: &Joined, outbox: Arc<Outbox>) -> Self {
        let (told, mid) = (joined.seq, joined.mid);
        Self {
            claim: Claim { peer: join.peer.clone(), generation: joined.seq },
            socket: join.socket,
            outbox,
            n: joined.n,
            record: Box::new(Record::new(join, joined)),
            fanout: None,
            behind: None,
            pending: 0,
            settled: mid,
            met: mid,
            acked: mid,
            told,
            told_at: 0,
        }
    }

    /// Takes what is said to all out of what the member may have multiplied, or says how long to wait.
    pub(super) fn multiply(&mut self, rate: Rate, bytes: usize) -> Result<(), Duration> {
        let now = Instant::now();
        self.fanout.get_or_insert_with(|| Box::new(TokenBucket::new(now))).take(rate, bytes, now)
    }

    /// Returns how many messages wait for their `ack`.
    pub(super) fn unacked(&self) -> u64 {
        self.pending + (self.settled.0 - self.acked.0)
    }

    /// Notes that a message is on its way to the log.
    pub(super) fn take(&mut self) {
        self.pending += 1;
    }

    /// Notes that the log has answered a message, whatever it said.
    pub(super) fn answered(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// Notes that a message is settled; tells whether an `ack` is due at once.
    pub(super) fn settle(&mut self, mid: Mid) -> bool {
        self.settled = self.settled.max(mid);
        self.settled.0 - self.acked.0 >= limits::ACK_EVERY
    }

    /// Notes that a message was met in the log.
    pub(super) fn met(&mut self, mid: Mid) {
        self.met = self.met.max(mid);
    }

    /// Returns the last message that the log is known to have taken.
    pub(super) fn taken(&self) -> Mid {
        self.settled.max(self.met)
    }

    /// Tells whether an `ack` is owed.
    pub(super) fn owes_ack(&self) -> bool {
        self.settled > self.acked
    }

    /// Notes that a frame with this position went out.
    pub(super) fn told(&mut self, seq: Seq, delivered: u64) {
        self.told = seq;
        self.told_at = delivered;
    }

    /// Keeps what the member tells about itself, as the log has it.
    pub(super) fn describe(&mut self, meta: &Payload) {
        self.record.meta = meta.clone();
    }

    /// Tells whether new entries are handed to it.
    pub(super) fn is_live(&self) -> bool {
        self.behind.is_none()
    }

    /// Notes how far it has been told what it missed; `None`: all of it.
    pub(super) fn catch_up(&mut self, behind: Option<Seq>) {
        self.behind = behind;
    }

    /// Returns the entry of its join.
    pub(super) fn joined_at(&self) -> Seq {
        self.record.joined
    }

    /// Returns what it takes to put the member back.
    pub(super) fn restored(&self) -> Restored {
        Restored {
            by: self.claim.clone(),
            socket: self.socket,
            n: self.n,
            mid: self.taken(),
            record: Record::clone(&self.record),
        }
    }

    fn ack(&mut self, room: &RoomId, position: Seq, delivered: u64) {
        let seq = self.behind.unwrap_or(position);
        self.acked = self.settled;
        self.told(seq, delivered);
        self.outbox.push(ServerMessage::Ack { room, mid: self.settled, seq }.to_json());
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Members {
    /// In the order of their ids, to be found, and so that a simulation takes the same course each time.
    sorted: Vec<Member>,
    /// How many entries the room has delivered here.
    delivered: u64,
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
        member.told_at = self.delivered;
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

    /// Walks all members that are told new entries.
    pub(super) fn live(&mut self) -> impl Iterator<Item = &mut Member> {
        self.sorted.iter_mut().filter(|member: &&mut Member| member.is_live())
    }

    /// Returns how many entries were delivered here so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Counts a delivered entry; now and then tells a position to those who heard nothing for long.
    pub(super) fn count(&mut self, room: &RoomId, position: Seq) {
        self.delivered += 1;
        if self.delivered.is_multiple_of(TOLD_EVERY / 4) {
            let delivered = self.delivered;
            let quiet = |member: &&mut Member| delivered - member.told_at >= TOLD_EVERY;
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

    /// Tells everyone its position who does not know it.
    pub(super) fn tell_position(&mut self, room: &RoomId, position: Seq) {
        let delivered = self.delivered;
        let behind = self.live().filter(|member| member.told < position);
        behind.for_each(|member| member.ack(room, position, delivered));
    }
}
