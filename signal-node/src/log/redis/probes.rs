//! Decides from probes when a connection has to be replaced. Pure: time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long a new connection is given before it may be replaced as well, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// As [`PAUSE_MAX`], while other servers of the cluster answer: a new connection interrupts them too.
const PAUSE_MAX_SHARED: Duration = Duration::from_secs(60);

/// Which servers have answered within a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All.
    Whole,
    /// Some: those of these names have not.
    Part(Vec<String>),
    /// None.
    Nothing,
}

/// When each server of a connection has answered last.
#[derive(Debug)]
pub(super) struct Probes {
    lease: Duration,
    answered: BTreeMap<String, Instant>,
    replaced: Option<Instant>,
    pause: Duration,
}

impl Probes {
    /// Begins with a connection that has just answered.
    pub(super) fn new(lease: Duration, now: Instant) -> Self {
        let answered = BTreeMap::from([(String::new(), now)]);
        Self { lease, answered, replaced: None, pause: PAUSE }
    }

    /// Notes which servers were probed, and which of them have answered.
    pub(super) fn probed(&mut self, probed: &[(String, bool)], now: Instant) {
        let before = std::mem::take(&mut self.answered);
        // A server that was not there before has had no time to answer.
        let since = |name: &String| before.get(name).copied().unwrap_or(now);
        let at = |(name, answers): &(String, bool)| {
            (name.clone(), if *answers { now } else { since(name) })
        };
        self.answered = probed.iter().map(at).collect();
        if self.reach(now) == Reach::Whole {
            self.pause = PAUSE;
        }
    }

    /// Returns which servers have answered within a lease.
    pub(super) fn reach(&self, now: Instant) -> Reach {
        let overdue = |at: &Instant| now.duration_since(*at) >= self.lease;
        let silent = self.answered.iter().filter(|(_, at)| overdue(at));
        let silent: Vec<String> = silent.map(|(name, _)| name.clone()).collect();
        match silent.len() {
            0 => Reach::Whole,
            count if count == self.answered.len() => Reach::Nothing,
            _ => Reach::Part(silent),
        }
    }

    /// Tells whether the last replacement is long enough ago for another one.
    pub(super) fn may_replace(&self, now: Instant) -> bool {
        self.replaced.is_none_or(|at| now.duration_since(at) >= self.pause)
    }

    /// Notes a replacement, or an attempt at one; the next one waits longer.
    pub(super) fn replaced(&mut self, now: Instant) {
        let most = match self.reach(now) {
            Reach::Part(_) => PAUSE_MAX_SHARED,
            Reach::Whole | Reach::Nothing => PAUSE_MAX,
        };
        self.pause = if self.replaced.is_some() { (self.pause * 2).min(most) } else { PAUSE };
        self.replaced = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    fn probed(answers: &[(&str, bool)]) -> Vec<(String, bool)> {
        answers.iter().map(|(name, answers)| ((*name).to_owned(), *answers)).collect()
    }

    #[test]
    fn a_connection_is_silent_after_a_lease_without_an_answer_however_much_is_written() {
        let start = Instant::now();
        let mut probes = Probes::new(LEASE, start);
        for second in 1..6 {
            probes.probed(&probed(&[("", false)]), start + Duration::from_secs(second));
        }
        assert_eq!(probes.reach(start + LEASE - Duration::from_millis(1)), Reach::Whole);
        assert_eq!(probes.reach(start + LEASE), Reach::Nothing);
        probes.probed(&probed(&[("", true)]), start + LEASE);
        assert_eq!(probes.reach(start + LEASE), Reach::Whole);
    }

    #[test]
    fn one_shard_that_is_silent_is_named_and_one_that_left_the_cluster_is_forgotten() {
        let start = Instant::now();
        let mut probes = Probes::new(LEASE, start);
        probes.probed(&probed(&[("a", true), ("b", true)]), start);
        probes.probed(&probed(&[("a", true), ("b", false)]), start + LEASE);
        assert_eq!(probes.reach(start + LEASE), Reach::Part(vec!["b".to_owned()]));
        probes.probed(&probed(&[("a", true), ("c", false)]), start + LEASE);
        assert_eq!(probes.reach(start + LEASE), Reach::Whole);
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
        probes.probed(&probed(&[("", true)]), at);
        assert!(probes.may_replace(at + PAUSE));
    }
}
