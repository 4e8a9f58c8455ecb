//! One room as a pure state machine: no task, no lock, the time an argument.
//!
//! This is the specification of the scripts in `log/redis/`, in Rust. The suite `tests/it/log_suite.rs`
//! asks both the same questions.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use signal_protocol::{ErrorCode, Mid, PeerId, Recovery, Seq, Subject, limits};

use super::calls::Calls;
use super::member::{LeftMember, Member};
use super::stream::{Append, Stream};
use crate::log::{
    Batch, Claim, Entry, Join, JoinRefusal, LogError, Op, Outcome, Payload, REMEMBERED, Retention,
    RoomEvent, RoomView, SocketId,
};

/// A room: its members, its bans and the end of its log.
#[derive(Clone, Debug, Default)]
pub(super) struct RoomState {
    head: Seq,
    pub(super) joins: u64,
    pub(super) members: BTreeMap<PeerId, Member>,
    capacity: Option<u32>,
    locked: bool,
    /// How often its number was advanced.
    advanced: u64,
    pub(super) bans: HashMap<Subject, Duration>,
    /// Until when members may be restored after a loss; zero if there was none.
    pub(super) recovering_until: Duration,
    /// The members at the last reset whose nodes have yet to confirm that they hold them, with their generations.
    pub(super) unconfirmed: BTreeMap<PeerId, Seq>,
    /// The last members that left, newest first.
    pub(super) left: VecDeque<LeftMember>,
    stream: Stream,
    /// The copy of the log that this is in: a copy has lost what came after it was made.
    pub(super) copy: u64,
    /// The copy that passed over numbers last.
    passed_over_by: Option<u64>,
    touched: Duration,
    /// Until when its configuration and its announcements are remembered.
    pub(super) remembered_until: Duration,
    /// The calls of the user, if this is an inbox.
    pub(super) calls: Calls,
    /// The last post of each sender: its count, when it was made, and for how many members.
    pub(super) posted: HashMap<SocketId, (u64, Duration, usize)>,
    /// The announcements that have a key: when they were made, and their numbers.
    pub(super) announced: HashMap<String, (Duration, Seq)>,
    /// What back ends are told of the last call.
    events: Vec<RoomEvent>,
}

/// What became of each step, and what was appended.
pub(super) type Answer = Result<(Vec<Outcome>, Option<Arc<Batch>>), LogError>;

impl RoomState {
    /// Takes all steps, unless the caller has seen more than there is.
    pub(super) fn call(
        &mut self,
        seen: Seq,
        ops: &[Op],
        now: Duration,
        retention: &Retention,
    ) -> Answer {
        if self.head < seen && !ops.first().is_some_and(Op::is_recovery) {
            return Err(LogError::RolledBack { head: self.head });
        }
        self.touched = now;
        let mut append = Append::new(self.head, seen, now);
        let may_be_lost = append.is_ahead_of(now) && self.passed_over_by != Some(self.copy);
        if may_be_lost {
            append.pass_over(now);
        }
        let outcomes = ops.iter().map(|op| self.step(op, ops, now, &mut append)).collect();
        self.events = append.take_events();
        let batch = append.into_batch().map(Arc::new);
        if let Some(batch) = &batch {
            self.passed_over_by = may_be_lost.then_some(self.copy).or(self.passed_over_by);
            self.head = batch.last();
            self.stream.push(now, batch.clone());
        }
        self.stream.trim(now, retention);
        Ok((outcomes, batch))
    }

    /// Takes out what back ends are told of the last call.
    pub(super) fn take_events(&mut self) -> Vec<RoomEvent> {
        std::mem::take(&mut self.events)
    }

    /// Returns the kept batches that end after `after`.
    pub(super) fn read(&self, after: Seq, limit: usize) -> Vec<Batch> {
        self.stream.read(after, limit)
    }

    /// Drops what is too old.
    pub(super) fn trim(&mut self, now: Duration, retention: &Retention) {
        self.stream.trim(now, retention);
        self.announced.retain(|_, (made, _)| now < *made + REMEMBERED);
        self.bans.retain(|_, until| *until > now);
    }

    /// Tells whether nothing would be lost by forgetting the room.
    pub(super) fn is_over(&self, now: Duration, keep: Duration) -> bool {
        let forgotten = now > self.remembered_until && now > self.touched + keep;
        forgotten && self.bans.values().all(|until| *until < now)
    }

    fn step(&mut self, op: &Op, ops: &[Op], now: Duration, append: &mut Append) -> Outcome {
        let outcome = match op {
            Op::Join(join) => self.join(join, now, append),
            Op::Signal { by, mid, to, data, span } => {
                let trace = span.as_ref().and_then(|span| span.parent()).map(Box::new);
                let signal = Entry::Signal {
                    from: by.peer.clone(),
                    to: to.clone(),
                    mid: *mid,
                    data: data.clone(),
                    trace,
                };
                self.signal(by, *mid, signal, now, append)
            }
            Op::Update { by, mid, meta } => self.update(by, *mid, meta, append),
            Op::Refuse { by, mid, code } => {
                self.settle(by, *mid, append).map(|member| member.refuse(*code))
            }
            Op::Leave { by } => self.leave(by, now, append),
            Op::Detach { by } => self.detach(by, append),
            Op::Reclaim { by } => self.reclaim(by, append),
            Op::Kick { peer, ban } => Ok(self.kick(peer, *ban, now, append)),
            Op::Expire { judgement, .. } | Op::Suspect { judgement, .. }
                if judgement.is_stale(now) =>
            {
                Ok(Outcome::Stale)
            }
            Op::Expire { grace, .. } => {
                self.take_away_unconfirmed(now, append);
                Ok(self.expire(*grace, now, append))
            }
            Op::Suspect { grace, judgement } => {
                Ok(self.suspect(&judgement.silent, *grace, now, append))
            }
            Op::Restore(restored) => Ok(self.restore(restored)),
            Op::Reset => Ok(self.reset(ops, now, append)),
            Op::Configure { capacity, locked } => {
                self.capacity = capacity.or(self.capacity);
                self.locked = locked.unwrap_or(self.locked);
                self.remembered_until = now + REMEMBERED;
                Ok(Outcome::Settled)
            }
            Op::Advance { from } => Ok(self.advance(*from, now)),
            Op::Announce { key, to, data } => {
                self.announce(key.as_ref(), to.as_ref(), data, now, append)
            }
            Op::Post(post) => Ok(self.post(post, now, append)),
            Op::Ring(ring) => Ok(self.ring(ring, now, append)),
            Op::StepCall { call, step } => Ok(self.step_call(call, step, now, append)),
            Op::Calls => Ok(self.all_calls(now, append)),
            Op::Inspect => Ok(Outcome::Room(Box::new(self.view(now, append)))),
            Op::Maintain => {
                self.take_away_unconfirmed(now, append);
                Ok(Outcome::Head(append.last()))
            }
        };
        outcome.unwrap_or_else(|refused| refused)
    }

    /// Finds the member whose claim `by` still is.
    pub(super) fn claimed(&mut self, by: &Claim, append: &Append) -> Result<&mut Member, Outcome> {
        let member = self.members.get_mut(&by.peer).ok_or(Outcome::Gone(append.last()))?;
        member.check(by, append)?;
        Ok(member)
    }

    /// Finds the member and consumes `mid` if it is the next one. After a reset a member waits until its node has confirmed or
    /// restored it: only the node knows what was settled before the loss, and a late copy of a message would be told twice.
    fn settle(&mut self, by: &Claim, mid: Mid, append: &Append) -> Result<&mut Member, Outcome> {
        let is_unconfirmed = self.unconfirmed.get(&by.peer) == Some(&by.generation);
        let member = self.claimed(by, append)?;
        if is_unconfirmed {
            return Err(Outcome::Recovering);
        }
        member.settle(mid)?;
        Ok(member)
    }

    fn signal(
        &mut self,
        by: &Claim,
        mid: Mid,
        signal: Entry,
        now: Duration,
        append: &mut Append,
    ) -> Result<Outcome, Outcome> {
        let missing =
            matches!(&signal, Entry::Signal { to: Some(to), .. } if !self.members.contains_key(to));
        let recovering = self.is_recovering(now);
        let member = self.settle(by, mid, append)?;
        if missing && recovering {
            // Its node may restore it yet.
            member.mid = Mid(mid.0 - 1);
            return Ok(Outcome::Recovering);
        }
        if missing {
            return Ok(member.refuse(ErrorCode::PeerNotFound));
        }
        Ok(Outcome::Appended(append.push(signal)))
    }

    fn advance(&mut self, from: u64, now: Duration) -> Outcome {
        let number = self.advanced + 1;
        if number != from {
            return Outcome::Number(number);
        }
        self.advanced = number;
        self.remembered_until = now + REMEMBERED;
        Outcome::Number(number + 1)
    }

    /// Locks the room if it has as many members as that was asked for.
    fn seal(&mut self, join: &Join, now: Duration) {
        if join.seals_at.is_some_and(|members| self.members.len() >= members as usize) {
            self.locked = true;
            self.remembered_until = now + REMEMBERED;
        }
    }

    fn view(&self, now: Duration, append: &Append) -> RoomView {
        let members = self.members.iter().map(|(id, member)| member.line(id, now)).collect();
        RoomView { head: append.last(), capacity: self.capacity, locked: self.locked, members }
    }

    fn update(
        &mut self,
        by: &Claim,
        mid: Mid,
        meta: &Payload,
        append: &mut Append,
    ) -> Result<Outcome, Outcome> {
        self.settle(by, mid, append)?.meta = meta.clone();
        let (peer, meta) = (by.peer.clone(), meta.clone());
        Ok(Outcome::Appended(append.push(Entry::Updated { peer, mid, meta })))
    }

    fn join(
        &mut self,
        join: &Join,
        now: Duration,
        append: &mut Append,
    ) -> Result<Outcome, Outcome> {
        if self.waits_for_restore(join, now) {
            return Err(Outcome::Recovering);
        }
        self.take_away_unconfirmed(now, append);
        if self.is_banned(join.user.as_ref(), now) {
            return Err(Outcome::JoinRefused(JoinRefusal::Forbidden));
        }
        if !join.judgement.is_stale(now) {
            if join.expires {
                self.expire(join.grace, now, append);
            }
            self.suspect(&join.judgement.silent, join.grace, now, append);
        }
        if self.members.contains_key(&join.peer) {
            return self.rejoin(join, now, append);
        }
        let ended = self.has_left(&join.peer, join.attempt, join.socket);
        if let Some(ended) = ended.filter(|ended| *ended <= append.prev && append.seen < *ended) {
            // A late copy of a join: a node that lets its client in again has seen that it had left, or says so itself.
            // Nobody holds the member: a client that waits for this asks again.
            return Err(Outcome::Gone(ended));
        }
        if join.is_late(now) {
            return Err(Outcome::Stale);
        }
        self.check_entry(join, now).map_err(Outcome::JoinRefused)?;
        self.forget_left(&join.peer, join.attempt, join.socket);
        if self.members.is_empty() {
            append.tell(RoomEvent::RoomStarted);
        }
        append.tell(RoomEvent::PeerJoined { peer: join.peer.clone(), user: join.user.clone() });
        self.joins += 1;
        let member = Member::enter(join, self.joins, append);
        self.unconfirmed.remove(&join.peer);
        self.members.insert(join.peer.clone(), member);
        self.seal(join, now);
        Ok(self.joined(&join.peer, now))
    }

    /// Tells whether the member may be restored yet: it has seen more than there is, or others are being restored. Whoever is no member
    /// waits until all are restored, or would take the seat of one that is connected.
    fn waits_for_restore(&mut self, join: &Join, now: Duration) -> bool {
        let position = join.position.filter(|_| join.waits);
        if self.members.contains_key(&join.peer) {
            return position.is_some() && self.is_recovering(now);
        }
        self.is_recovering(now) || position.is_some_and(|position| position > self.head)
    }

    /// Tells whether a subject may not come in, and not come back either.
    fn is_banned(&self, user: Option<&Subject>, now: Duration) -> bool {
        let until = user.and_then(|user| self.bans.get(user));
        until.is_some_and(|until| *until > now)
    }

    fn check_entry(&self, join: &Join, now: Duration) -> Result<(), JoinRefusal> {
        if self.locked {
            return Err(JoinRefusal::Locked);
        }
        let own = join.token_capacity.unwrap_or(u32::MAX);
        let capacity = self.capacity.unwrap_or(join.capacity).min(limits::ROOM_CAPACITY).min(own);
        if self.members.len() >= capacity as usize {
            let after = self.next_seat(join.grace, now);
            return Err(JoinRefusal::Full { capacity, after });
        }
        let same = self.members.values().filter(|m| m.user.is_some() && m.user == join.user);
        if same.count() >= join.per_subject as usize {
            return Err(JoinRefusal::TooManyOfSubject);
        }
        Ok(())
    }

    /// Returns when the first absent member will have been away for too long.
    fn next_seat(&self, grace: Duration, now: Duration) -> Option<Duration> {
        let since = self.members.values().filter_map(|member| member.away_since);
        let first = since.map(|since| since.min(now)).min()?;
        Some((first + grace).saturating_sub(now))
    }

    fn rejoin(
        &mut self,
        join: &Join,
        now: Duration,
        append: &mut Append,
    ) -> Result<Outcome, Outcome> {
        let gone = || Outcome::Gone(append.last());
        let member = self.members.get(&join.peer).ok_or_else(gone)?;
        if member.key_hash != join.key_hash || member.user != join.user {
            return Err(Outcome::JoinRefused(JoinRefusal::Forbidden));
        }
        let same_socket = member.socket == join.socket;
        let attempt = join.attempt_after(member.attempt, same_socket);
        if attempt < member.attempt || (attempt == member.attempt && !same_socket) {
            return Err(Outcome::JoinRefused(JoinRefusal::Replaced));
        }
        if attempt > member.attempt {
            if join.is_late(now) {
                return Err(Outcome::Stale);
            }
            self.tell_loss(join, now, append);
            self.resume(join, append);
        }
        Ok(self.joined(&join.peer, now))
    }

    /// A client that comes back may have seen more than the log holds, or have had more messages acknowledged than the log knows.
    /// Either shows that the room has lost its last writes. A reset tells the others before this client says more: otherwise they
    /// would get messages twice, or miss some, without being told. A client is believed only while a loss may be fresh: what it says
    /// is no proof.
    fn tell_loss(&mut self, join: &Join, now: Duration, append: &mut Append) {
        let known = self.members.get(&join.peer).map(|member| member.mid);
        let has_seen_more = join.position.is_some_and(|position| position > self.head);
        let has_said_more = join.settled.zip(known).is_some_and(|(settled, known)| settled > known);
        if join.waits && (has_seen_more || has_said_more) {
            self.reset(&[], now, append);
        }
    }

    fn resume(&mut self, join: &Join, append: &mut Append) {
        let Some(member) = self.members.get_mut(&join.peer) else { return };
        let recovery = match join.position {
            None => Recovery::Snapshot,
            // It was in the room before, and was never told of this membership: an earlier copy of its join has begun it.
            Some(position) if !member.has_seen(position) => Recovery::New,
            Some(position) => self.stream.recovery(position, append.prev),
        };
        member.resume(join, recovery, append);
        self.unconfirmed.remove(&join.peer);
    }

    fn joined(&self, peer: &PeerId, now: Duration) -> Outcome {
        let me = &self.members[peer];
        let others = self.members.iter().filter(|(id, other)| *id != peer && me.is_told_of(other));
        me.joined(others.map(|(id, other)| other.line(id, now)).collect())
    }
}
