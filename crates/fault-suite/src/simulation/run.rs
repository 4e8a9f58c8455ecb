//! Many seeds, one after the other, and what a person is told of them.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Simulated, simulate};
use crate::history::What;
use crate::report::Outcome;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// So many seeds that break a promise are enough.
const ENOUGH: u64 = 5;

/// What came of many seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Seeds that were lived through.
    pub seeds: u64,
    /// Seeds that broke a promise or did not come to their end.
    pub broken: u64,
    /// Signals that were sent.
    pub sent: u64,
    /// Signals that arrived.
    pub received: u64,
    /// Faults.
    pub faults: u64,
}

impl Sum {
    fn add(&mut self, simulated: &Simulated) {
        self.seeds += 1;
        self.broken += u64::from(!simulated.held());
        for event in &simulated.history.events {
            match event.what {
                What::Sent { .. } => self.sent += 1,
                What::Received { .. } => self.received += 1,
                What::Fault { .. } => self.faults += 1,
                _ => {}
            }
        }
    }
}

/// Lives through `count` seeds from `first` on; keeps the histories of those that break a promise.
#[must_use]
pub fn many(first: u64, count: u64, folder: &Path) -> Sum {
    let mut sum = Sum::default();
    let (begun, mut told) = (Instant::now(), Instant::now());
    for seed in first..first.saturating_add(count) {
        let simulated = simulate(seed);
        sum.add(&simulated);
        if !simulated.held() {
            tell(seed, &simulated, folder);
        }
        if sum.broken >= ENOUGH {
            break;
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            eprintln!("  {} of {count} seeds, {} broken", sum.seeds, sum.broken);
        }
    }
    let Sum { seeds, broken, sent, received, faults } = sum;
    println!(
        "{seeds} seeds in {:.0} s, {broken} broken: {faults} faults, {sent} signals sent, {received} deliveries",
        begun.elapsed().as_secs_f64()
    );
    sum
}

/// Prints what a seed broke, and keeps what proves it.
fn tell(seed: u64, simulated: &Simulated, folder: &Path) {
    let failure = simulated.failure.clone();
    let outcome = Outcome::new("simulate", seed, failure, Vec::new(), &simulated.verdicts);
    println!("seed {seed}\n{}", outcome.summary());
    let file = folder.join(format!("simulate-{seed}.jsonl"));
    match simulated.history.write(&file) {
        Ok(()) => println!("The history is in {}.", file.display()),
        Err(error) => eprintln!("fault-suite: {error}"),
    }
    println!("To live through it again: {}", replay(seed));
}

/// Tells the command that brings the same about once more.
fn replay(seed: u64) -> String {
    if cfg!(tokio_unstable) {
        format!("make simulate SEEDS=1 FROM={seed}")
    } else {
        format!(
            "fault-suite simulate --seeds 1 --from {seed} (the same faults, but tokio chooses \
             anew where several things are ready; under make simulate the seed decides that too)"
        )
    }
}
