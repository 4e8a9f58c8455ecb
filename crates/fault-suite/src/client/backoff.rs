//! How long to wait before the next attempt: the SDK's own numbers, full jitter.

use std::time::Duration;

use fastrand::Rng;

const FIRST_WAIT: u64 = 800;
const LONGEST_WAIT: u64 = 10_000;

/// Returns the wait before attempt number `attempt` after a loss, from 0.
pub(super) fn backoff(attempt: u32, rng: &mut Rng) -> Duration {
    let most = LONGEST_WAIT.min(FIRST_WAIT << attempt.min(16));
    Duration::from_millis(rng.u64(0..=most))
}

/// Returns a wait between two numbers of milliseconds.
pub(super) fn between(least: u64, most: u64, rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.u64(least..=most))
}
