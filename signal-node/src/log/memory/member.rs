//! One member as the log holds it.

use std::time::Duration;

use signal_protocol::{ErrorCode, Mid, NodeId, PeerId, Recovery, Seq, Subject, limits};

use super::stream::Append;
use crate::log::{
    Claim, Entry, Join, Joined, Outcome, Payload, ResetMember, Restored, RosterMember, SocketId,
};

#[derive(Clone, Debug)]
pub(super) struct Member {
    /// The generation of the claim; a suspicion raises it too.
    pub(super) generation: Seq,
    /// The entry of the last join.
    pub(super) joined: Seq,
    base: Seq,
    origin: Seq,
    pub(super) n: u64,
    pub(super) node: NodeId,
    pub(super) socket: SocketId,
    pub(super) attempt: u64,
    recovery: Recovery,
    pub(super) user: Option<Subject>,
    pub(super) key_hash: String,
    pub(super) mid: Mid,
    refused: Vec<(Mid, ErrorCode)>,
    pub(super) away_since: Option<Duration>,
    pub(super) meta: Payload,
}

/// A member that left, by its last join, and the number of the entry that says so.
#[derive(Clone, Debug)]
pub(super) struct LeftMember {
    pub(super) peer: PeerId,
    pub(super) attempt: u64,
    pub(super) socket: SocketId,
    pub(super) seq: Seq,
}

impl LeftMember {
    pub(super) fn is_of(&self, peer: &PeerId, attempt: u64, socket: SocketId) -> bool {
        let is_attempt = attempt == Join::NEXT || self.attempt == attempt;
        self.peer == *peer && is_attempt && self.socket == socket
    }
}

impl Member {
    /// Makes a new member and appends its entry.
    pub(super) fn enter(join: &Join, n: u64, append: &mut Append) -> Self {
        let base = append.prev;
        let (node, user, meta) = (join.node.clone(), join.user.clone(), Some(join.meta.clone()));
        let peer = join.peer.clone();
        let joined = append.push(Entry::Joined { peer, n, node, resumed: false, user, meta });
        Self {
            generation: joined,
            joined,
            base,
            origin: joined,
            n,
            node: join.node.clone(),
            socket: join.socket,
            attempt: join.attempt_after(0, false),
            recovery: Recovery::New,
            user: join.user.clone(),
            key_hash: join.key_hash.clone(),
            mid: Mid(0),
            refused: Vec::new(),
            away_since: None,
            meta: join.meta.clone(),
        }
    }

    /// Makes a member of what its node knows of it.
    pub(super) fn restore(restored: &Restored) -> Self {
        let record = &restored.record;
        Self {
            generation: restored.by.generation,
            joined: record.joined,
            base: record.base,
            origin: record.origin,
            n: restored.n,
            node: record.node.clone(),
            socket: restored.socket,
            attempt: record.attempt,
            recovery: record.recovery,
            user: record.user.clone(),
            key_hash: record.key_hash.to_string(),
            mid: restored.mid,
            refused: Vec::new(),
            away_since: None,
            meta: record.meta.clone(),
        }
    }

    /// Comes back over another socket, and appends the entry that says so.
    pub(super) fn resume(&mut self, join: &Join, recovery: Recovery, append: &mut Append) {
        self.base = append.prev;
        self.attempt = join.attempt_after(self.attempt, self.socket == join.socket);
        self.node = join.node.clone();
        self.socket = join.socket;
        self.recovery = recovery;
        self.away_since = None;
        let same = join.keeps_meta || join.meta.get() == self.meta.get();
        let changed = (!same).then(|| join.meta.clone());
        self.meta = changed.clone().unwrap_or_else(|| self.meta.clone());
        self.joined = append.push(Entry::Joined {
            peer: join.peer.clone(),
            n: self.n,
            node: join.node.clone(),
            resumed: true,
            user: self.user.clone(),
            meta: changed,
        });
        self.generation = self.joined;
    }

    /// Returns how long it has been a member. Its first entry is numbered by the clock, which may have been set back.
    pub(super) fn stayed(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_micros(self.origin.0))
    }

    /// Tells whether a position is one of its own time in the room.
    pub(super) fn has_seen(&self, position: Seq) -> bool {
        position >= self.origin
    }

    /// Answers a join from what is stored, so that a repeated call is answered as the first one was.
    pub(super) fn joined(&self, roster: Vec<RosterMember>) -> Outcome {
        Outcome::Joined(Box::new(Joined {
            seq: self.joined,
            base: self.base,
            n: self.n,
            origin: self.origin,
            recovery: self.recovery,
            mid: self.mid,
            meta: self.meta.clone(),
            refused: if self.recovery == Recovery::New { Vec::new() } else { self.refused.clone() },
            roster,
        }))
    }

    /// Tells whether its last join is told of another member: its first join only of those before it.
    pub(super) fn is_told_of(&self, other: &Self) -> bool {
        self.joined != self.origin || other.n < self.n
    }

    /// Says what a claim is worth: nothing else, if it holds.
    pub(super) fn check(&self, by: &Claim, append: &Append) -> Result<(), Outcome> {
        if self.generation == by.generation {
            Ok(())
        } else if by.generation >= self.joined {
            Err(Outcome::Suspected(self.generation))
        } else {
            Err(Outcome::Replaced(append.last()))
        }
    }

    /// Consumes `mid` if it is the next one.
    pub(super) fn settle(&mut self, mid: Mid) -> Result<(), Outcome> {
        if mid <= self.mid {
            let refused = self.refused.iter().find(|(refused, _)| *refused == mid);
            return Err(refused.map_or(Outcome::Settled, |(_, code)| Outcome::Refused(*code)));
        }
        let expected = self.mid.next();
        if mid != expected {
            return Err(Outcome::OutOfOrder { expected });
        }
        self.mid = mid;
        Ok(())
    }

    /// Keeps a refusal for as long as its message may be repeated.
    pub(super) fn refuse(&mut self, code: ErrorCode) -> Outcome {
        let oldest = self.mid.0.saturating_sub(limits::UNACKED);
        self.refused.retain(|(mid, _)| mid.0 > oldest);
        self.refused.push((self.mid, code));
        Outcome::Refused(code)
    }

    pub(super) fn line(&self, peer: &PeerId, now: Duration) -> RosterMember {
        RosterMember {
            peer: peer.clone(),
            node: self.node.clone(),
            n: self.n,
            joined: self.joined,
            user: self.user.clone(),
            away: self.away_since.map(|since| now.saturating_sub(since)),
            meta: self.meta.clone(),
        }
    }

    pub(super) fn reset_member(&self, peer: &PeerId, now: Duration) -> ResetMember {
        // Whoever gets a reset is told the newest generation only.
        let line = RosterMember { joined: self.generation, ..self.line(peer, now) };
        ResetMember { line, generation: self.generation, mid: self.mid }
    }
}
