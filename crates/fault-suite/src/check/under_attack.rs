//! While clients mean harm, good clients get in, about as fast as before, and nodes stay about as large.
//!
//! What came before the attack is what it is compared with, on the same machine and in the same run: joins of the quiet
//! time, and the most memory that each process took in it. A p99 that is shorter than the floor of the run counts as that:
//! below it, the other programs of the machine decide.

use std::collections::BTreeMap;

use super::Violation;
use super::model::Model;
use crate::history::{Event, History, What};

/// What an attack did to good clients and to processes.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq)]
pub struct AttackEffect {
    pub quiet: Joins,
    pub attacked: Joins,
    /// The quiet p99, or the floor if that is longer, in milliseconds.
    pub baseline_ms: f64,
    /// By process: the most memory during the attack, in times of the most before it.
    pub growth: BTreeMap<Box<str>, f64>,
    /// When it ended, in microseconds since the run began.
    ended: u64,
}

/// Attempts of good clients to get in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joins {
    /// How many there were.
    pub attempts: usize,
    /// How many of them succeeded, in percent; not a number without any.
    pub succeeded: f64,
    /// The p99 of the time that they took, in milliseconds, those included that failed; infinite without any.
    pub p99_ms: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts and times of a run are far below 2^52")]
impl Joins {
    /// Sums up attempts: when each ended, how long it took, and whether it succeeded.
    fn of(attempts: impl Iterator<Item = (u64, u64, bool)>) -> Self {
        let (mut times, mut joined) = (Vec::new(), 0_usize);
        for (_, took, is_in) in attempts {
            times.push(took);
            joined += usize::from(is_in);
        }
        times.sort_unstable();
        let rank = (times.len() * 99).div_ceil(100).saturating_sub(1);
        let p99_ms = times.get(rank).map_or(f64::INFINITY, |micros| *micros as f64 / 1e3);
        let succeeded = 100.0 * joined as f64 / times.len() as f64;
        Self { attempts: times.len(), succeeded, p99_ms }
    }
}

impl AttackEffect {
    /// Joins that must succeed, in percent.
    pub const SUCCEED: f64 = 99.0;
    /// The p99 of joins, at most, in times of the quiet one.
    pub const SLOWER: f64 = 2.0;
    /// The most memory of a process, in times of the most before.
    pub const LARGER: f64 = 1.5;

    /// Measures the attack of a history, if there was one and it ended.
    #[must_use]
    pub fn of(history: &History) -> Option<Self> {
        Self::measure(&history.events)
    }

    #[expect(clippy::cast_precision_loss, reason = "a floor is some milliseconds")]
    fn measure(events: &[Event]) -> Option<Self> {
        let (begun, floor) = events.iter().find_map(|event| match event.what {
            What::Attack { floor } => Some((event.at, floor)),
            _ => None,
        })?;
        let ended = events.iter().find(|event| event.what == What::AttackOver)?.at;
        let attempts = || {
            events.iter().filter_map(|event| match event.what {
                What::Attempt { took, is_in } => Some((event.at, took, is_in)),
                _ => None,
            })
        };
        let quiet = Joins::of(attempts().filter(|(at, ..)| *at < begun));
        // One that began before the attack and ended in it is one of the attack.
        let is_attacked = |at: u64, took: u64| at >= begun && at - took < ended;
        let attacked = Joins::of(attempts().filter(|(at, took, _)| is_attacked(*at, *took)));
        let baseline_ms = quiet.p99_ms.max(floor as f64 / 1e3);
        Some(Self { quiet, attacked, baseline_ms, growth: growth(events, begun, ended), ended })
    }

    /// What of the growth is judged. The credential service is only told of: it takes so little that the connections which one
    /// address may hold open double it.
    fn nodes(&self) -> impl Iterator<Item = (&Box<str>, &f64)> {
        self.growth.iter().filter(|(process, _)| process.starts_with("node-"))
    }

    /// The growth of the node that grew most.
    #[must_use]
    pub fn largest(&self) -> f64 {
        self.nodes().map(|(_, growth)| *growth).fold(0.0, f64::max)
    }

    fn violations(&self) -> Vec<Violation> {
        let Joins { attempts, succeeded, p99_ms } = self.attacked;
        let longest = self.baseline_ms * Self::SLOWER;
        let mut found = Vec::new();
        // A share of no attempt is not a number, and does not hold.
        let enough = succeeded >= Self::SUCCEED;
        if !enough {
            found.push(format!("of {attempts} joins of good clients {succeeded:.2} % succeeded"));
        }
        let is_compared = self.quiet.attempts > 0;
        if !is_compared || p99_ms > longest {
            let quiet = self.quiet.p99_ms;
            found.push(format!(
                "the p99 of joins was {p99_ms:.1} ms, longer than {longest:.1} ms; it was {quiet:.1} ms before"
            ));
        }
        if self.nodes().next().is_none() {
            found.push("nobody looked at the memory of nodes".to_owned());
        }
        let is_larger = |growth: f64| growth.is_nan() || growth > Self::LARGER;
        let larger = self.nodes().filter(|(_, growth)| is_larger(**growth));
        found.extend(larger.map(|(process, growth)| {
            format!("{process} took {growth:.2} times the memory that it had before")
        }));
        found.into_iter().map(|what| Violation::new(self.ended, what)).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn growth(events: &[Event], begun: u64, ended: u64) -> BTreeMap<Box<str>, f64> {
    let mut most: BTreeMap<Box<str>, (u64, u64)> = BTreeMap::new();
    for event in events.iter().filter(|event| event.at <= ended) {
        let What::Memory { process, bytes } = &event.what else { continue };
        let (before, during) = most.entry(process.clone()).or_default();
        let side = if event.at < begun { before } else { during };
        *side = (*side).max(*bytes);
    }
    most.into_iter()
        .map(|(process, (before, during))| (process, during as f64 / before as f64))
        .collect()
}

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    AttackEffect::measure(model.events).map_or_else(Vec::new, |effect| effect.violations())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{HistoryBuilder, found};

    /// A hundred joins before an attack and as many in it, of this time (ms); so many of the latter fail.
    fn attacked(quiet: u64, took: u64, failed: usize, memory: [u64; 2]) -> HistoryBuilder {
        let joins = |story: HistoryBuilder, took: u64, failed: usize| {
            (0..100).fold(story, |story, number| story.attempt(took, number >= failed))
        };
        let story = joins(HistoryBuilder::three().memory(memory[0]), quiet, 0).attack(50);
        joins(story.memory(memory[1]), took, failed).attack_over()
    }

    #[test]
    fn an_attack_that_good_clients_hardly_notice_is_fine() {
        assert_eq!(found(check, attacked(80, 160, 1, [100, 150])), 0);
    }

    #[test]
    fn what_is_quicker_than_the_floor_is_noise() {
        assert_eq!(found(check, attacked(3, 100, 0, [100, 100])), 0);
    }

    #[test]
    fn a_run_without_an_attack_is_not_judged() {
        assert_eq!(found(check, HistoryBuilder::three().attempt(9_000, false)), 0);
    }

    #[test]
    fn twin_joins_that_fail_are_found() {
        assert_eq!(found(check, attacked(80, 80, 2, [100, 100])), 1);
    }

    #[test]
    fn twin_joins_that_take_longer_are_found() {
        assert_eq!(found(check, attacked(80, 161, 0, [100, 100])), 1);
    }

    #[test]
    fn twin_a_join_that_began_in_quiet_and_hung_in_the_attack_is_found() {
        let story = attacked(80, 80, 0, [100, 100]);
        let hung =
            HistoryBuilder::three().memory(100).attempt(10, true).attack(50).attempt(1_500, false);
        assert_eq!(found(check, story), 0);
        assert_eq!(found(check, hung.memory(100).attack_over()), 2);
    }

    #[test]
    fn twin_a_process_that_grows_is_found() {
        assert_eq!(found(check, attacked(80, 80, 0, [100, 151])), 1);
    }

    #[test]
    fn twin_an_attack_during_which_nobody_came_is_found() {
        let story = HistoryBuilder::three().attempt(10, true).attack(50).attack_over();
        assert_eq!(found(check, story), 3, "nor did anybody look at memory");
    }
}
