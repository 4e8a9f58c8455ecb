//! How members go away, come back, are taken over, and are restored after a loss.

use std::time::Duration;

use signal_protocol::{ErrorCode, LeaveReason, PeerId, Seq};

use super::member::{LeftMember, Member};
use super::room::RoomState;
use super::stream::Append;
use crate::log::{
    Claim, Entry, LEFT_REMEMBERED, MEMBERS_PER_STEP, Op, Outcome, RECLAIM_WINDOW, RESTORE_WINDOW,
    Restored, RoomEvent, Silent, SocketId,
};

/// The outcome of a step that took its share of `due` members.
fn share_done(due: usize) -> Outcome {
    if due > MEMBERS_PER_STEP { Outcome::More } else { Outcome::Settled }
}

impl RoomState {
    pub(super) fn leave(
        &mut self,
        by: &Claim,
        now: Duration,
        append: &mut Append,
    ) -> Result<Outcome, Outcome> {
        self.claimed(by, append)?;
        Ok(self.remove(&by.peer, LeaveReason::Left, now, append))
    }

    fn remove(
        &mut self,
        peer: &PeerId,
        reason: LeaveReason,
        now: Duration,
        append: &mut Append,
    ) -> Outcome {
        let seq = append.push(Entry::Left { peer: peer.clone(), reason });
        self.unconfirmed.remove(peer);
        if let Some(member) = self.members.remove(peer) {
            let (user, stayed) = (member.user.clone(), member.stayed(now));
            append.tell(RoomEvent::PeerLeft { peer: peer.clone(), user, reason, stayed });
            let Member { attempt, socket, .. } = member;
            self.left.push_front(LeftMember { peer: peer.clone(), attempt, socket, seq });
            self.left.truncate(LEFT_REMEMBERED);
        }
        if self.members.is_empty() {
            append.tell(RoomEvent::RoomEnded);
        }
        Outcome::Appended(seq)
    }

    /// Returns the number of the entry with which the member of this very join has left.
    pub(super) fn has_left(&self, peer: &PeerId, attempt: u64, socket: SocketId) -> Option<Seq> {
        let left = self.left.iter().find(|left| left.is_of(peer, attempt, socket));
        left.map(|left| left.seq)
    }

    /// Lets the same join enter anew, since its node knows that it has left.
    pub(super) fn forget_left(&mut self, peer: &PeerId, attempt: u64, socket: SocketId) {
        self.left.retain(|left| !left.is_of(peer, attempt, socket));
    }

    pub(super) fn detach(&mut self, by: &Claim, append: &mut Append) -> Result<Outcome, Outcome> {
        if self.claimed(by, append)?.away_since.is_some() {
            return Ok(Outcome::Settled);
        }
        let seq = append.push(Entry::Away { peer: by.peer.clone(), ago: Duration::ZERO });
        // Behind its generation: by this a late copy of a reclaim is known.
        self.claimed(by, append)?.away_since = Some(Duration::from_micros(seq.0));
        Ok(Outcome::Appended(seq))
    }

    /// Takes a suspected member back, or confirms that its node holds it.
    pub(super) fn reclaim(&mut self, by: &Claim, append: &mut Append) -> Result<Outcome, Outcome> {
        let member = self.claimed(by, append)?;
        let is_detached = |since: &Duration| since.as_micros() > u128::from(by.generation.0);
        let was_away = member.away_since.take_if(|since| !is_detached(since)).is_some();
        self.unconfirmed.remove(&by.peer);
        if !was_away {
            return Ok(Outcome::Settled);
        }
        Ok(Outcome::Appended(append.push(Entry::Back { peer: by.peer.clone() })))
    }

    /// Removes a member. A ban is of its subject, and removes every member of it.
    pub(super) fn kick(
        &mut self,
        peer: &PeerId,
        ban: Duration,
        now: Duration,
        append: &mut Append,
    ) -> Outcome {
        let Some(member) = self.members.get(peer) else {
            return Outcome::Refused(ErrorCode::PeerNotFound);
        };
        let Some(user) = member.user.clone().filter(|_| !ban.is_zero()) else {
            return self.remove(peer, LeaveReason::Kicked, now, append);
        };
        let seats = self.members.iter().filter(|(_, member)| member.user.as_ref() == Some(&user));
        let seats: Vec<PeerId> = seats.map(|(peer, _)| peer.clone()).collect();
        self.bans.insert(user, now + ban);
        for seat in &seats {
            self.remove(seat, LeaveReason::Kicked, now, append);
        }
        Outcome::Appended(append.last())
    }

    /// Marks the members of silent nodes away, since it is certain; their old claims are worth nothing. A node may be
    /// wrongly suspected, so it has [`RECLAIM_WINDOW`] before the grace can be over.
    pub(super) fn suspect(
        &mut self,
        silent: &[Silent],
        grace: Duration,
        now: Duration,
        append: &mut Append,
    ) -> Outcome {
        let ago = |member: &Member| silent.iter().find(|s| s.node == member.node).map(|s| s.ago);
        let due = self.members.iter().filter(|(_, member)| member.away_since.is_none());
        let due = due.filter_map(|(peer, member)| Some((peer.clone(), ago(member)?)));
        let due: Vec<_> = due.collect();
        for (peer, ago) in due.iter().take(MEMBERS_PER_STEP) {
            let ago = (*ago).min(grace.saturating_sub(RECLAIM_WINDOW));
            self.take_away(peer, now.saturating_sub(ago), now, append);
        }
        share_done(due.len())
    }

    /// Marks a member away since that moment, and raises its generation.
    fn take_away(&mut self, peer: &PeerId, since: Duration, now: Duration, append: &mut Append) {
        let Some(member) = self.members.get_mut(peer) else { return };
        member.away_since = Some(since);
        let ago = now.saturating_sub(since);
        member.generation = append.push(Entry::Away { peer: peer.clone(), ago });
    }

    pub(super) fn expire(
        &mut self,
        grace: Duration,
        now: Duration,
        append: &mut Append,
    ) -> Outcome {
        let due = |member: &Member| {
            member.away_since.is_some_and(|since| since > now || since + grace <= now)
        };
        let due = self.members.iter().filter(|(_, member)| due(member));
        let due: Vec<PeerId> = due.map(|(peer, _)| peer.clone()).collect();
        for peer in due.iter().take(MEMBERS_PER_STEP) {
            let Some(member) = self.members.get_mut(peer) else { continue };
            // The clock may have been set back.
            let since = member.away_since.map_or(now, |since| since.min(now));
            member.away_since = Some(since);
            if since + grace <= now {
                self.remove(peer, LeaveReason::Timeout, now, append);
            }
        }
        share_done(due.len())
    }

    /// The greater generation wins; of the same one, the greater count. A member that has left is not restored.
    pub(super) fn restore(&mut self, restored: &Restored) -> Outcome {
        self.joins = self.joins.max(restored.n);
        let peer = &restored.by.peer;
        let mut member = Member::restore(restored);
        if let Some(known) = self.members.get(peer) {
            if known.generation > member.generation {
                return Outcome::Settled;
            }
            if known.generation == member.generation && known.mid > member.mid {
                // A late copy of an earlier restore: what the member has told since is newer.
                member.meta = known.meta.clone();
            }
            member.mid = member.mid.max(known.mid);
        } else if let Some(ended) = self.has_left(peer, member.attempt, member.socket) {
            return Outcome::Gone(ended);
        }
        self.unconfirmed.remove(peer);
        self.members.insert(peer.clone(), member);
        Outcome::Settled
    }

    /// Appends the roster as it is now. The members that this call has not restored wait for their nodes to confirm that they
    /// hold them.
    pub(super) fn reset(&mut self, ops: &[Op], now: Duration, append: &mut Append) -> Outcome {
        self.recovering_until = now + RESTORE_WINDOW;
        let is_restored = |peer: &PeerId, member: &Member| {
            let claim = |by: &Claim| by.peer == *peer && by.generation == member.generation;
            ops.iter().any(|op| matches!(op, Op::Restore(restored) if claim(&restored.by)))
        };
        let unconfirmed = self.members.iter();
        let unconfirmed = unconfirmed.filter(|(_, member)| member.away_since.is_none());
        let unconfirmed = unconfirmed.filter(|(peer, member)| !is_restored(peer, member));
        let unconfirmed = unconfirmed.map(|(peer, member)| (peer.clone(), member.generation));
        let unconfirmed: Vec<_> = unconfirmed.collect();
        self.unconfirmed.extend(unconfirmed);
        let reset_members =
            self.members.iter().map(|(peer, member)| member.reset_member(peer, now));
        Outcome::Appended(append.push(Entry::Reset { roster: reset_members.collect() }))
    }

    /// Tells whether members may still be restored after a loss.
    pub(super) fn is_recovering(&mut self, now: Duration) -> bool {
        // The clock may have been set back.
        self.recovering_until = self.recovering_until.min(now + RESTORE_WINDOW);
        now < self.recovering_until
    }

    /// Once the time for restores is over: marks the members away that no node has confirmed. They have left before the loss,
    /// or their node is gone; the node of a living one reclaims it.
    pub(super) fn take_away_unconfirmed(&mut self, now: Duration, append: &mut Append) {
        if self.recovering_until.is_zero() || self.is_recovering(now) {
            return;
        }
        for _ in 0..MEMBERS_PER_STEP {
            let Some((peer, generation)) = self.unconfirmed.pop_first() else { break };
            let member = self.members.get(&peer);
            let is_unchanged = member.is_some_and(|member| {
                member.away_since.is_none() && member.generation == generation
            });
            if is_unchanged {
                self.take_away(&peer, now, now, append);
            }
        }
        if self.unconfirmed.is_empty() {
            self.recovering_until = Duration::ZERO;
        }
    }
}
