//! How members go away, come back, are taken over, and are put back after a loss.

use std::time::Duration;

use signal_protocol::{ErrorCode, LeaveReason, PeerId};

use super::member::Member;
use super::room::RoomState;
use super::stream::Append;
use crate::log::{Claim, Entry, Outcome, RESTORE_WINDOW, Restored, Silent};

impl RoomState {
    pub(super) fn leave(&mut self, by: &Claim, append: &mut Append) -> Result<Outcome, Outcome> {
        self.claimed(by, append)?;
        Ok(self.remove(&by.peer, LeaveReason::Left, append))
    }

    fn remove(&mut self, peer: &PeerId, reason: LeaveReason, append: &mut Append) -> Outcome {
        self.members.remove(peer);
        Outcome::Appended(append.push(Entry::Left { peer: peer.clone(), reason }))
    }

    pub(super) fn detach(
        &mut self,
        by: &Claim,
        now: Duration,
        append: &mut Append,
    ) -> Result<Outcome, Outcome> {
        let member = self.claimed(by, append)?;
        if member.away_since.is_some() {
            return Ok(Outcome::Settled);
        }
        member.away_since = Some(now);
        let (peer, ago) = (by.peer.clone(), Duration::ZERO);
        Ok(Outcome::Appended(append.push(Entry::Away { peer, ago })))
    }

    pub(super) fn reclaim(&mut self, by: &Claim, append: &mut Append) -> Result<Outcome, Outcome> {
        let member = self.claimed(by, append)?;
        if member.away_since.take().is_none() {
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
            return self.remove(peer, LeaveReason::Kicked, append);
        };
        let seats = self.members.iter().filter(|(_, member)| member.user.as_ref() == Some(&user));
        let seats: Vec<PeerId> = seats.map(|(peer, _)| peer.clone()).collect();
        self.bans.insert(user, now + ban);
        for seat in &seats {
            self.remove(seat, LeaveReason::Kicked, append);
        }
        Outcome::Appended(append.last())
    }

    /// Marks the members of silent nodes away, since it is certain; their old claims are worth nothing.
    pub(super) fn suspect(
        &mut self,
        silent: &[Silent],
        now: Duration,
        append: &mut Append,
    ) -> Outcome {
        for (peer, member) in &mut self.members {
            let Some(Silent { ago, .. }) = silent.iter().find(|s| s.node == member.node) else {
                continue;
            };
            if member.away_since.is_none() {
                member.away_since = Some(now.saturating_sub(*ago));
                member.generation = append.push(Entry::Away { peer: peer.clone(), ago: *ago });
            }
        }
        Outcome::Settled
    }

    pub(super) fn expire(
        &mut self,
        grace: Duration,
        now: Duration,
        append: &mut Append,
    ) -> Outcome {
        for since in self.members.values_mut().filter_map(|member| member.away_since.as_mut()) {
            // The clock may have been set back.
            *since = (*since).min(now);
        }
        let over = |member: &Member| member.away_since.is_some_and(|since| since + grace <= now);
        let gone = self.members.iter().filter(|(_, member)| over(member));
        let gone: Vec<PeerId> = gone.map(|(peer, _)| peer.clone()).collect();
        for peer in &gone {
            self.remove(peer, LeaveReason::Timeout, append);
        }
        Outcome::Settled
    }

    /// The greater generation wins; of the same one, the greater count.
    pub(super) fn restore(&mut self, restored: &Restored) -> Outcome {
        self.joins = self.joins.max(restored.n);
        let peer = &restored.by.peer;
        let mut member = Member::restore(restored);
        if let Some(known) = self.members.get(peer) {
            if known.generation > member.generation {
                return Outcome::Settled;
            }
            member.mid = member.mid.max(known.mid);
        }
        self.members.insert(peer.clone(), member);
        Outcome::Settled
    }

    pub(super) fn reset(&mut self, now: Duration, append: &mut Append) -> Outcome {
        self.mending_until = now + RESTORE_WINDOW;
        let survivors = self.members.iter().map(|(peer, member)| member.survivor(peer, now));
        Outcome::Appended(append.push(Entry::Reset { roster: survivors.collect() }))
    }
}
