//! Decides from probes when a connection has to be replaced. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How long a new connection is given before it may be replaced as well, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// When the server of a connection has answered last.
#[derive(Debug)]
pub(super) struct Probes {
    lease: Duration,
    answered: Instant,
    replaced: Option<Instant>,
    pause: Duration,
}

impl Probes {
    /// Begins with a connection that has just been made.
    pub(super) fn new(lease: Duration, now: Instant) -> Self {
        Self { lease, answered: now, replaced: None, pause: PAUSE }
    }

    pub(super) fn answered(&mut self, now: Instant) {
        (self.answered, self.pause) = (now, PAUSE);
    }

    /// Tells whether nothing was heard for a lease.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        now.duration_since(self.answered) >= self.lease
    }

    /// Tells whether the last replacement is long enough ago for another one.
    pub(super) fn may_replace(&self, now: Instant) -> bool {
        self.replaced.is_none_or(|at| now.duration_since(at) >= self.pause)
    }

    /// Notes a replacement, or an attempt at one; the next one waits longer.
    pub(super) fn replaced(&mut self, now: Instant) {
        self.pause = if self.replaced.is_some() { (self.pause * 2).min(PAUSE_MAX) } else { PAUSE };
        self.replaced = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    #[test]
    fn a_connection_is_silent_after_a_lease_without_an_answer_however_much_is_written() {
        let start = Instant::now();
        let mut probes = Probes::new(LEASE, start);
        assert!(!probes.is_silent(start + LEASE - Duration::from_millis(1)));
        assert!(probes.is_silent(start + LEASE));
        probes.answered(start + LEASE);
        assert!(!probes.is_silent(start + LEASE));
    }

    #[test]
    fn replacements_become_rarer_until_all_is_well() {
        let start = Instant::now();
        let mut probes = Probes::new(LEASE, start);
        let mut at = start;
        let mut pauses = Vec::new();
        for _ in 0..5 {
            assert!(probes.may_replace(at));
            probes.replaced(at);
            let second = |after: &u64| probes.may_replace(at + Duration::from_secs(*after));
            let pause = (0..100).find(second).expect("some time");
            pauses.push(pause);
            at += Duration::from_secs(pause);
        }
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        probes.answered(at);
        assert!(probes.may_replace(at + PAUSE));
    }
}
