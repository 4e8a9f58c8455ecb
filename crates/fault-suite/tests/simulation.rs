//! Simulated clusters: a few seeds here, thousands by `fault-suite simulate`.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test selects few of the events of a history"
)]

use fault_suite::history::{FaultKind, History, What};
use fault_suite::simulation::simulate;

/// What a debug build lives through in some 20 s.
const SEEDS: u64 = 60;

#[test]
fn sixty_interleavings_keep_all_promises() {
    for seed in 1..=SEEDS {
        let simulated = simulate(seed);
        let found: Vec<_> =
            simulated.verdicts.iter().filter(|verdict| !verdict.violations.is_empty()).collect();
        assert!(simulated.held(), "seed {seed}: {:?} {found:#?}", simulated.failure);
    }
}

fn faults(history: &History) -> Vec<(FaultKind, Option<u8>)> {
    let fault = |what: &What| match what {
        What::Fault { kind, node, .. } => Some((*kind, *node)),
        _ => None,
    };
    history.events.iter().filter_map(|event| fault(&event.what)).collect()
}

#[test]
fn the_same_seed_brings_the_same_faults_and_another_does_not() {
    let [one, again, other] = [7, 7, 8].map(|seed| faults(&simulate(seed).history));
    assert_eq!(one, again);
    assert_ne!(one, other);
}

// Where several things are ready at once, tokio chooses, and only with this flag by our seed.
#[cfg(tokio_unstable)]
#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 1..=20 {
        let (one, other) = (simulate(seed).history, simulate(seed).history);
        let differs = one.events.iter().zip(&other.events).position(|(one, other)| one != other);
        let at = differs.map(|at| (&one.events[at], &other.events[at]));
        assert_eq!(at, None, "seed {seed}");
        assert_eq!(one.events.len(), other.events.len(), "seed {seed}");
    }
}
