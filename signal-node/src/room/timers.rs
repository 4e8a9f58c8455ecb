//! What a room has to do later, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use signal_protocol::{PeerId, limits};
use tokio::time::Instant;

/// A position is told at least this often to those to whom nothing was addressed.
const TELL_POSITION_AFTER: Duration = Duration::from_secs(30);

/// A room without members here is kept subscribed this long, so that a reload costs no new subscription.
const LINGER: Duration = Duration::from_secs(5);

/// What this node appends comes back on its own subscription within this, or the subscription is deaf.
const ECHO_WITHIN: Duration = Duration::from_secs(1);

/// The log judges absence by its own clock; where it is behind ours we ask again after this.
const EXPIRE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The appointments of one room. Those that are not set cost nothing.
#[derive(Default)]
pub(super) struct Timers {
    ack: Option<Instant>,
    position: Option<Instant>,
    tend: Option<Instant>,
    echo: Option<Instant>,
    retire: Option<Instant>,
    away: BTreeMap<PeerId, Instant>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Owed acknowledgements.
    Ack,
    /// Positions that some do not know.
    Position,
    /// Trimming and renewal.
    Tend,
    /// What we appended ought to have come back.
    Echo,
    /// Members that may have been away for too long.
    Expire,
    /// The end of a room without members.
    Retire,
}

fn set(timer: &mut Option<Instant>, after: Duration) {
    timer.get_or_insert_with(|| Instant::now() + after);
}

fn is_due(timer: &mut Option<Instant>, now: Instant) -> bool {
    timer.take_if(|at| *at <= now).is_some()
}

impl Timers {
    pub(super) fn ack(&mut self) {
        set(&mut self.ack, Duration::from_millis(limits::ACK_WITHIN_MS));
    }

    pub(super) fn position(&mut self) {
        set(&mut self.position, TELL_POSITION_AFTER);
    }

    pub(super) fn tend(&mut self, after: Duration) {
        set(&mut self.tend, after);
    }

    pub(super) fn echo(&mut self) {
        set(&mut self.echo, ECHO_WITHIN);
    }

    pub(super) fn awaits_echo(&self) -> bool {
        self.echo.is_some()
    }

    pub(super) fn retire(&mut self, idle: bool) {
        if idle {
            set(&mut self.retire, LINGER);
        } else {
            self.retire = None;
        }
    }

    pub(super) fn away(&mut self, peer: &PeerId, left: Duration) {
        self.away.insert(peer.clone(), Instant::now() + left);
    }

    pub(super) fn back(&mut self, peer: &PeerId) {
        self.away.remove(peer);
    }

    pub(super) fn nobody_away(&mut self) {
        self.away.clear();
    }

    /// Returns the earliest appointment.
    pub(super) fn next(&self) -> Option<Instant> {
        let single = [self.ack, self.position, self.tend, self.echo, self.retire];
        single.into_iter().flatten().chain(self.away.values().copied()).min()
    }

    /// Takes out what is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        let single = [
            (&mut self.ack, Due::Ack),
            (&mut self.position, Due::Position),
            (&mut self.tend, Due::Tend),
            (&mut self.echo, Due::Echo),
            (&mut self.retire, Due::Retire),
        ];
        for (timer, what) in single {
            if is_due(timer, now) {
                due.push(what);
            }
        }
        let over = self.away.values_mut().filter(|at| **at <= now);
        if over.map(|at| *at = now + EXPIRE_AGAIN_AFTER).count() > 0 {
            due.push(Due::Expire);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_due_is_told_once_and_absence_again_after_a_second() {
        let mut timers = Timers::default();
        timers.ack();
        timers.away(&"p_a".parse().unwrap(), Duration::from_millis(500));
        let start = Instant::now();
        assert_eq!(timers.next(), Some(start + Duration::from_millis(500)));
        assert_eq!(timers.due(start + Duration::from_secs(1)), [Due::Ack, Due::Expire]);
        assert_eq!(timers.next(), Some(start + Duration::from_secs(2)));
        timers.back(&"p_a".parse().unwrap());
        assert_eq!(timers.next(), None);
    }
}
