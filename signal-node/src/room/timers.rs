//! The deadlines of a room. The time is an argument everywhere: only the task waits.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use signal_protocol::{PeerId, limits};
use tokio::time::Instant;

use crate::log::{Claim, JOIN_VALID_FOR};

/// A member to which nothing was addressed is sent its position at least this often, so that a resume has little to
/// replay.
const SEND_POSITION_AFTER: Duration = Duration::from_secs(30);

/// A room without members here is kept subscribed this long, so that a reload costs no new subscription, and that a late copy
/// of its last join is noticed.
const LINGER: Duration = Duration::from_secs(10);
const _: () = assert!(LINGER.as_secs() > JOIN_VALID_FOR.as_secs());

/// A page that was closed or left is expected back within this, as a reload is; otherwise its member leaves.
pub(super) const GOING_AWAY_GRACE: Duration = Duration::from_secs(limits::GOING_AWAY_GRACE_S);
const _: () = assert!(GOING_AWAY_GRACE.as_secs() < LINGER.as_secs());

/// What this node appends comes back over its own subscription within this, or the subscription is deaf.
const ECHO_WITHIN: Duration = Duration::from_secs(1);

/// The log judges by its own clock. Where that one is behind ours, or has stepped, the room asks again after this.
const JUDGE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The deadlines of one room. Those that are not set cost nothing.
#[derive(Default)]
pub(super) struct Timers {
    ack: Option<Instant>,
    position: Option<Instant>,
    trim: Option<Instant>,
    confirm: Option<Instant>,
    suspect: Option<Instant>,
    echo: Option<Instant>,
    presence: Option<Instant>,
    calls: Option<Instant>,
    retire: Option<Instant>,
    away: BTreeMap<PeerId, Instant>,
    /// Members whose pages were closed, the first one first.
    going_away: VecDeque<(Instant, Claim)>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Owed acknowledgements.
    Ack,
    /// Positions that some members do not know.
    Position,
    /// Trimming and renewal.
    Trim,
    /// A suspicion that was stale.
    Suspect,
    /// The end of the time in which nodes confirm their members after a reset.
    Confirm,
    /// An appended entry should have come back.
    Echo,
    /// Presence to be told, or to be asked for.
    Presence,
    /// Calls that have rung for long enough.
    Calls,
    /// Members that may have been away for too long.
    Expire,
    /// The member of a page that was closed and is not back.
    GoneAway(Claim),
    /// The end of a room without members.
    Retire,
}

/// Sets a deadline, unless it is set already: an earlier one stays.
fn set(timer: &mut Option<Instant>, at: Instant) {
    timer.get_or_insert(at);
}

fn is_due(timer: &mut Option<Instant>, now: Instant) -> bool {
    timer.take_if(|at| *at <= now).is_some()
}

impl Timers {
    pub(super) fn ack(&mut self, now: Instant) {
        set(&mut self.ack, now + Duration::from_millis(limits::ACK_WITHIN_MS));
    }

    pub(super) fn position(&mut self, now: Instant) {
        set(&mut self.position, now + SEND_POSITION_AFTER);
    }

    pub(super) fn trim(&mut self, at: Instant) {
        set(&mut self.trim, at);
    }

    /// Notes when the members that no node has confirmed count as away; a later reset puts it off.
    pub(super) fn confirm(&mut self, at: Instant) {
        self.confirm = Some(at);
    }

    /// Sets the time of another suspicion, since the last one was stale.
    pub(super) fn suspect(&mut self, now: Instant) {
        set(&mut self.suspect, now + JUDGE_AGAIN_AFTER);
    }

    pub(super) fn echo(&mut self, now: Instant) {
        set(&mut self.echo, now + ECHO_WITHIN);
    }

    /// Sets when presence is to be told or asked for; an earlier time stays.
    pub(super) fn presence(&mut self, at: Instant) {
        self.presence = Some(self.presence.map_or(at, |set| set.min(at)));
    }

    /// Sets when a call has rung for long enough; an earlier time stays.
    pub(super) fn calls(&mut self, at: Instant) {
        self.calls = Some(self.calls.map_or(at, |set| set.min(at)));
    }

    pub(super) fn awaits_echo(&self) -> bool {
        self.echo.is_some()
    }

    /// Sets the end of the room, or calls it off. A room that was looked at for the last time ends at once.
    pub(super) fn retire(&mut self, idle: bool, is_last_look_over: bool, now: Instant) {
        if idle {
            set(&mut self.retire, if is_last_look_over { now } else { now + LINGER });
        } else {
            self.retire = None;
        }
    }

    /// Notes when the grace of an away member is over. An earlier time stays: while the clock of the log is behind the mark
    /// of an absence, every roster says that it has just begun, and would put the judgement off for ever.
    pub(super) fn away(&mut self, peer: &PeerId, until: Instant) {
        let known = self.away.entry(peer.clone()).or_insert(until);
        *known = until.min(*known);
    }

    pub(super) fn back(&mut self, peer: &PeerId) {
        self.away.remove(peer);
    }

    /// Notes a member whose page was closed.
    pub(super) fn going_away(&mut self, claim: Claim, now: Instant) {
        self.going_away.push_back((now + GOING_AWAY_GRACE, claim));
    }

    pub(super) fn nobody_away(&mut self) {
        self.away.clear();
    }

    /// Returns the earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        let single = [
            self.ack,
            self.position,
            self.trim,
            self.confirm,
            self.suspect,
            self.echo,
            self.presence,
            self.calls,
            self.retire,
        ];
        let going_away = self.going_away.front().map(|(at, _)| *at);
        single.into_iter().chain([going_away]).flatten().chain(self.away.values().copied()).min()
    }

    /// Takes out what is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        let single = [
            (&mut self.ack, Due::Ack),
            (&mut self.position, Due::Position),
            (&mut self.trim, Due::Trim),
            (&mut self.confirm, Due::Confirm),
            (&mut self.suspect, Due::Suspect),
            (&mut self.echo, Due::Echo),
            (&mut self.presence, Due::Presence),
            (&mut self.calls, Due::Calls),
            (&mut self.retire, Due::Retire),
        ];
        for (timer, what) in single {
            if is_due(timer, now) {
                due.push(what);
            }
        }
        let over = self.away.values_mut().filter(|at| **at <= now);
        if over.map(|at| *at = now + JUDGE_AGAIN_AFTER).count() > 0 {
            due.push(Due::Expire);
        }
        let over = self.going_away.iter().take_while(|(at, _)| *at <= now).count();
        due.extend(self.going_away.drain(..over).map(|(_, claim)| Due::GoneAway(claim)));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_once_and_absence_again_after_a_second() {
        let (mut timers, start) = (Timers::default(), Instant::now());
        timers.ack(start);
        timers.away(&"p_a".parse().unwrap(), start + Duration::from_millis(500));
        assert_eq!(timers.next(), Some(start + Duration::from_millis(500)));
        assert_eq!(timers.due(start + Duration::from_secs(1)), [Due::Ack, Due::Expire]);
        assert_eq!(timers.next(), Some(start + Duration::from_secs(2)));
        timers.back(&"p_a".parse().unwrap());
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_roster_puts_off_no_judgement() {
        let (mut timers, start) = (Timers::default(), Instant::now());
        let (peer, soon) = ("p_a".parse().unwrap(), start + Duration::from_secs(11));
        timers.away(&peer, soon);
        timers.away(&peer, soon + Duration::from_secs(9));
        assert_eq!(timers.next(), Some(soon));
    }
}
