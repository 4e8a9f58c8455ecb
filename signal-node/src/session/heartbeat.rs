//! When to ping, and when to give a connection up.

use std::time::Duration;

use tokio::time::Instant;

/// The server's half of the heartbeat (RFC 6455 §5.5.2).
#[derive(Debug)]
pub(super) struct Heartbeat {
    every: Duration,
    heard_at: Instant,
    ping_at: Instant,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing yet.
    Rest,
    /// Send a ping.
    Ping,
    /// Nothing was heard for 2.5 intervals.
    Dead,
}

impl Heartbeat {
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Self { every, heard_at: now, ping_at: now + every }
    }

    /// Notes that something was heard, whatever it was.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    fn dead_at(&self) -> Instant {
        self.heard_at + self.every * 5 / 2
    }

    /// Returns when to ask again.
    pub(super) fn next(&self) -> Instant {
        self.ping_at.min(self.dead_at())
    }

    pub(super) fn beat(&mut self, now: Instant) -> Beat {
        if now >= self.dead_at() {
            return Beat::Dead;
        }
        if now < self.ping_at {
            return Beat::Rest;
        }
        self.ping_at = now + self.every;
        Beat::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_pinged_twice_and_given_up_after_two_and_a_half_intervals() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Duration::from_secs(10), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(heartbeat.beat(at(9)), Beat::Rest);
        assert_eq!(heartbeat.beat(at(10)), Beat::Ping);
        assert_eq!(heartbeat.beat(at(20)), Beat::Ping);
        assert_eq!(heartbeat.next(), at(25));
        assert_eq!(heartbeat.beat(at(25)), Beat::Dead);
        heartbeat.heard(at(25));
        assert_eq!(heartbeat.beat(at(30)), Beat::Ping);
    }
}
