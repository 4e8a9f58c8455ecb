//! How long to wait before the next attempt: full jitter, so that a thousand clients that lost one node spread over the
//! whole interval.

use std::time::Duration;

use fastrand::Rng;

/// The most that the first wait may be: most losses are one dropped socket.
const FIRST_WAIT_MS: u64 = 800;
/// The most that any wait may be: a third of the default grace, so that at least two attempts fall into it.
const LONGEST_WAIT_MS: u64 = 10_000;

/// Returns the wait before attempt number `attempt` after a loss, from 0.
pub(super) fn backoff(attempt: u32, rng: &mut Rng) -> Duration {
    let most = LONGEST_WAIT_MS.min(FIRST_WAIT_MS << attempt.min(16));
    Duration::from_millis(rng.u64(0..=most))
}

/// Returns a wait between two numbers of milliseconds.
pub(super) fn between((least, most): (u64, u64), rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.u64(least..=most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_800_ms_to_10_s_and_begin_at_0() {
        let mut rng = Rng::with_seed(1);
        for (attempt, most) in [(0, 800), (1, 1_600), (3, 6_400), (4, 10_000), (90, 10_000)] {
            let waits: Vec<_> = (0..2_000).map(|_| backoff(attempt, &mut rng)).collect();
            let longest = waits.iter().max().unwrap().as_millis();
            assert!(longest <= most && longest * 10 > most * 9, "{attempt}: {longest}");
            assert!(waits.iter().min().unwrap().as_millis() * 10 < most, "{attempt}");
        }
    }
}
