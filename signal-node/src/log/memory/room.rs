//! One room as a pure state machine: no task, no lock, the time an argument.
//!
//! This is the specification of the scripts in `log/redis/`, in Rust. The suite `tests/it/log_suite.rs`
//! asks both the same questions.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use signal_protocol::{ErrorCode, LeaveReason, Mid, NodeId, PeerId, Recovery, Seq, Subject};

use crate::log::{
    Batch, Claim, Entry, Join, JoinRefusal, Joined, Op, Outcome, Payload, Retention, RosterMember,
    SocketId,
};

/// A room: its members, its bans and the end of its log.
#[derive(Debug, Default)]
pub(super) struct RoomState {
    head: Seq,
    joins: u64,
    members: BTreeMap<PeerId, Member>,
    capacity: Option<u32>,
    locked: bool,
    bans: HashMap<Subject, Duration>,
    stream: Stream,
    seen: Duration,
}

/// The kept batches with the time they were appended, and what they amount to.
#[derive(Debug, Default)]
struct Stream {
    batches: VecDeque<(Duration, Arc<Batch>)>,
    entries: usize,
    bytes: usize,
}

/// One member as the log holds it.
#[derive(Debug)]
struct Member {
    generation: Seq,
    base: Seq,
    n: u64,
    node: NodeId,
    socket: SocketId,
    attempt: u64,
    recovery: Recovery,
    user: Option<Subject>,
    key_hash: String,
    mid: Mid,
    away_since: Option<Duration>,
    meta: Payload,
}

/// What one call adds to the log.
struct Append {
    prev: Seq,
    next: Seq,
    entries: Vec<Entry>,
}

impl Append {
    /// Numbers begin at the clock in µs, so that they pass a lost history, and never go backwards.
    fn new(prev: Seq, now: Duration) -> Self {
        let clock = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        Self { prev, next: Seq(clock.max(prev.0 + 1)), entries: Vec::new() }
    }

    fn push(&mut self, entry: Entry) -> Seq {
        let seq = self.next;
        self.next = Seq(seq.0 + 1);
        self.entries.push(entry);
        seq
    }

    fn into_batch(self) -> Option<Batch> {
        let count = self.entries.len() as u64;
        let first = Seq(self.next.0 - count);
        (count > 0).then_some(Batch { prev: self.prev, first, entries: self.entries })
    }
}

impl RoomState {
    /// Takes all steps and returns what became of each, and what was appended.
    pub(super) fn call(
        &mut self,
        ops: &[Op],
        now: Duration,
        retention: &Retention,
    ) -> (Vec<Outcome>, Option<Arc<Batch>>) {
        self.seen = now;
        let mut append = Append::new(self.head, now);
        let outcomes = ops.iter().map(|op| self.step(op, now, &mut append)).collect();
        let batch = append.into_batch().map(Arc::new);
        if let Some(batch) = &batch {
            self.head = batch.last();
            self.stream.push(now, batch.clone());
        }
        self.stream.trim(now, retention);
        (outcomes, batch)
    }

    /// Returns the kept batches that end after `after`.
    pub(super) fn read(&self, after: Seq) -> Vec<Batch> {
        let later = self.stream.batches.iter().filter(|(_, batch)| batch.last() > after);
        later.map(|(_, batch)| Batch::clone(batch)).collect()
    }

    /// Tells whether nothing would be lost by forgetting the room.
    pub(super) fn is_over(&self, now: Duration, keep: Duration) -> bool {
        now > self.seen + keep && self.bans.values().all(|until| *until < now)
    }

    fn step(&mut self, op: &Op, now: Duration, append: &mut Append) -> Outcome {
        match op {
            Op::Join(join) => self.join(join, now, append),
            Op::Signal { by, mid, to, data } => self.signal(by, *mid, to.as_ref(), data, append),
            Op::Update { by, mid, meta } => self.update(by, *mid, meta, append),
            Op::Refuse { by, mid, code } => match self.settle(by, *mid) {
                Ok(()) => Outcome::Refused(*code),
                Err(outcome) => outcome,
            },
            Op::Leave { by } => self.leave(by, append),
            Op::Detach { by } => self.detach(by, now, append),
            Op::Kick { peer, ban } => self.kick(peer, *ban, now, append),
            Op::Expire { grace } => self.expire(*grace, now, append),
            Op::Configure { capacity, locked } => {
                self.capacity = capacity.or(self.capacity);
                self.locked = locked.unwrap_or(self.locked);
                Outcome::Settled
            }
            Op::Tend => Outcome::Settled,
        }
    }

    /// Finds the member whose claim `by` still is.
    fn claimed(&mut self, by: &Claim) -> Result<&mut Member, Outcome> {
        match self.members.get_mut(&by.peer) {
            Some(member) if member.generation == by.generation => Ok(member),
            Some(_) => Err(Outcome::Replaced),
            None => Err(Outcome::Gone),
        }
    }

    /// Consumes `mid` if it is the next one.
    fn settle(&mut self, by: &Claim, mid: Mid) -> Result<(), Outcome> {
        let member = self.claimed(by)?;
        if mid <= member.mid {
            return Err(Outcome::Settled);
        }
        let expected = member.mid.next();
        if mid != expected {
            return Err(Outcome::OutOfOrder { expected });
        }
        member.mid = mid;
        Ok(())
    }

    fn signal(
        &mut self,
        by: &Claim,
        mid: Mid,
        to: Option<&PeerId>,
        data: &Payload,
        append: &mut Append,
    ) -> Outcome {
        if let Err(outcome) = self.settle(by, mid) {
            return outcome;
        }
        if to.is_some_and(|to| !self.members.contains_key(to)) {
            return Outcome::Refused(ErrorCode::PeerNotFound);
        }
        let (from, to, data) = (by.peer.clone(), to.cloned(), data.clone());
        Outcome::Appended(append.push(Entry::Signal { from, to, mid, data }))
    }

    fn update(&mut self, by: &Claim, mid: Mid, meta: &Payload, append: &mut Append) -> Outcome {
        if let Err(outcome) = self.settle(by, mid) {
            return outcome;
        }
        if let Some(member) = self.members.get_mut(&by.peer) {
            member.meta = meta.clone();
        }
        let (peer, meta) = (by.peer.clone(), meta.clone());
        Outcome::Appended(append.push(Entry::Updated { peer, mid, meta }))
    }

    fn leave(&mut self, by: &Claim, append: &mut Append) -> Outcome {
        match self.claimed(by) {
            Ok(_) => self.remove(&by.peer, LeaveReason::Left, append),
            Err(outcome) => outcome,
        }
    }

    fn remove(&mut self, peer: &PeerId, reason: LeaveReason, append: &mut Append) -> Outcome {
        self.members.remove(peer);
        Outcome::Appended(append.push(Entry::Left { peer: peer.clone(), reason }))
    }

    fn detach(&mut self, by: &Claim, now: Duration, append: &mut Append) -> Outcome {
        let member = match self.claimed(by) {
            Ok(member) => member,
            Err(outcome) => return outcome,
        };
        if member.away_since.is_some() {
            return Outcome::Settled;
        }
        member.away_since = Some(now);
        Outcome::Appended(append.push(Entry::Away { peer: by.peer.clone() }))
    }

    fn kick(
        &mut self,
        peer: &PeerId,
        ban: Duration,
        now: Duration,
        append: &mut Append,
    ) -> Outcome {
        let Some(member) = self.members.get(peer) else {
            return Outcome::Refused(ErrorCode::PeerNotFound);
        };
        if let Some(user) = member.user.clone().filter(|_| !ban.is_zero()) {
            self.bans.insert(user, now + ban);
        }
        self.remove(peer, LeaveReason::Kicked, append)
    }

    fn expire(&mut self, grace: Duration, now: Duration, append: &mut Append) -> Outcome {
        let over = |member: &Member| member.away_since.is_some_and(|since| since + grace <= now);
        let gone = self.members.iter().filter(|(_, member)| over(member));
        let gone: Vec<PeerId> = gone.map(|(peer, _)| peer.clone()).collect();
        for peer in &gone {
            self.remove(peer, LeaveReason::Timeout, append);
        }
        Outcome::Settled
    }

    fn join(&mut self, join: &Join, now: Duration, append: &mut Append) -> Outcome {
        self.expire(join.grace, now, append);
        if self.members.contains_key(&join.peer) {
            return self.rejoin(join, now, append);
        }
        if let Some(refusal) = self.refusal(join, now) {
            return Outcome::JoinRefused(refusal);
        }
        self.joins += 1;
        let meta = join.meta.clone();
        let generation = append.push(Entry::Joined {
            peer: join.peer.clone(),
            n: self.joins,
            node: join.node.clone(),
            resumed: false,
            user: join.user.clone(),
            meta: Some(meta.clone()),
        });
        let member = Member {
            generation,
            base: append.prev,
            n: self.joins,
            node: join.node.clone(),
            socket: join.socket,
            attempt: join.attempt,
            recovery: Recovery::New,
            user: join.user.clone(),
            key_hash: join.key_hash.clone(),
            mid: Mid(0),
            away_since: None,
            meta,
        };
        self.members.insert(join.peer.clone(), member);
        self.joined(&join.peer, now)
    }

    fn refusal(&self, join: &Join, now: Duration) -> Option<JoinRefusal> {
        let banned = |user| self.bans.get(user).is_some_and(|until| *until > now);
        if join.user.as_ref().is_some_and(banned) {
            return Some(JoinRefusal::Forbidden);
        }
        if self.locked {
            return Some(JoinRefusal::Locked);
        }
        let own = join.token_capacity.unwrap_or(u32::MAX);
        let capacity = self.capacity.unwrap_or(join.capacity).min(own);
        if self.members.len() >= capacity as usize {
            return Some(JoinRefusal::Full { capacity, after: self.next_seat(join.grace, now) });
        }
        let same = self.members.values().filter(|m| m.user.is_some() && m.user == join.user);
        (same.count() >= join.per_subject as usize).then_some(JoinRefusal::TooManyOfSubject)
    }

    /// Returns when the first absent member will have been away for too long.
    fn next_seat(&self, grace: Duration, now: Duration) -> Option<Duration> {
        let first = self.members.values().filter_map(|member| member.away_since).min()?;
        Some((first + grace).saturating_sub(now))
    }

    fn rejoin(&mut self, join: &Join, now: Duration, append: &mut Append) -> Outcome {
        let recovery = self.recovery(join.position);
        let Some(member) = self.members.get_mut(&join.peer) else { return Outcome::Gone };
        if member.key_hash != join.key_hash || member.user != join.user {
            return Outcome::JoinRefused(JoinRefusal::Forbidden);
        }
        let same_socket = member.socket == join.socket;
        if join.attempt < member.attempt || (join.attempt == member.attempt && !same_socket) {
            return Outcome::JoinRefused(JoinRefusal::Replaced);
        }
        if join.attempt > member.attempt {
            member.resume(join, recovery, append);
        }
        self.joined(&join.peer, now)
    }

    /// Tells whether everything after `position` can be replayed.
    fn recovery(&self, position: Option<Seq>) -> Recovery {
        let Some(position) = position else { return Recovery::Snapshot };
        let next = self.stream.batches.iter().find(|(_, batch)| batch.last() >= position);
        let inside =
            next.is_some_and(|(_, batch)| batch.first <= position || batch.prev == position);
        if inside || position == self.head { Recovery::Replay } else { Recovery::Snapshot }
    }

    /// Answers a join from what is stored, so that a repeated call is answered as the first one was.
    fn joined(&self, peer: &PeerId, now: Duration) -> Outcome {
        let Some(me) = self.members.get(peer) else { return Outcome::Gone };
        let told = |(id, other): &(&PeerId, &Member)| {
            *id != peer && (me.recovery != Recovery::New || other.n < me.n)
        };
        let roster = self.members.iter().filter(told).map(|(id, other)| other.line(id, now));
        Outcome::Joined(Box::new(Joined {
            seq: me.generation,
            base: me.base,
            n: me.n,
            recovery: me.recovery,
            mid: me.mid,
            roster: roster.collect(),
        }))
    }
}

impl Stream {
    fn push(&mut self, now: Duration, batch: Arc<Batch>) {
        self.entries += batch.entries.len();
        self.bytes += batch.bytes();
        self.batches.push_back((now, batch));
    }

    fn trim(&mut self, now: Duration, retention: &Retention) {
        while let Some((at, batch)) = self.batches.front() {
            let old = *at + retention.age < now;
            if !old && self.entries <= retention.length && self.bytes <= retention.bytes {
                return;
            }
            self.entries -= batch.entries.len();
            self.bytes -= batch.bytes();
            self.batches.pop_front();
        }
    }
}

impl Member {
    fn resume(&mut self, join: &Join, recovery: Recovery, append: &mut Append) {
        self.base = append.prev;
        self.node = join.node.clone();
        self.socket = join.socket;
        self.attempt = join.attempt;
        self.recovery = recovery;
        self.away_since = None;
        let same = join.keeps_meta || join.meta.get() == self.meta.get();
        let changed = (!same).then(|| join.meta.clone());
        self.meta = changed.clone().unwrap_or_else(|| self.meta.clone());
        self.generation = append.push(Entry::Joined {
            peer: join.peer.clone(),
            n: self.n,
            node: join.node.clone(),
            resumed: true,
            user: self.user.clone(),
            meta: changed,
        });
    }

    fn line(&self, peer: &PeerId, now: Duration) -> RosterMember {
        RosterMember {
            peer: peer.clone(),
            n: self.n,
            user: self.user.clone(),
            away: self.away_since.map(|since| now.saturating_sub(since)),
            meta: self.meta.clone(),
        }
    }
}
