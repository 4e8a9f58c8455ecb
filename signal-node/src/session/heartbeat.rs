//! When to ping, and when to give a connection up.

use std::time::Duration;

use tokio::time::Instant;

/// The server's half of the heartbeat (RFC 6455 §5.5.2). The interval is the node's, and not kept with each session.
#[derive(Debug)]
pub(super) struct Heartbeat {
    heard_at: Instant,
    ping_at: Instant,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Rest,
    Ping,
    /// Nothing was heard for 2.5 intervals.
    Dead,
}

impl Heartbeat {
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Self { heard_at: now, ping_at: now + every }
    }

    /// Notes that something was heard, whatever it was.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    fn dead_at(&self, every: Duration) -> Instant {
        self.heard_at + every * 5 / 2
    }

    /// Returns when to ask again.
    pub(super) fn next(&self, every: Duration) -> Instant {
        self.ping_at.min(self.dead_at(every))
    }

    pub(super) fn beat(&mut self, every: Duration, now: Instant) -> Beat {
        if now >= self.dead_at(every) {
            return Beat::Dead;
        }
        if now < self.ping_at {
            return Beat::Rest;
        }
        self.ping_at = now + every;
        Beat::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    #[test]
    fn a_silent_peer_is_pinged_twice_and_given_up_after_two_and_a_half_intervals() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(EVERY, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(heartbeat.beat(EVERY, at(9)), Beat::Rest);
        assert_eq!(heartbeat.beat(EVERY, at(10)), Beat::Ping);
        assert_eq!(heartbeat.beat(EVERY, at(20)), Beat::Ping);
        assert_eq!(heartbeat.next(EVERY), at(25));
        assert_eq!(heartbeat.beat(EVERY, at(25)), Beat::Dead);
        heartbeat.heard(at(25));
        assert_eq!(heartbeat.beat(EVERY, at(30)), Beat::Ping);
    }
}
