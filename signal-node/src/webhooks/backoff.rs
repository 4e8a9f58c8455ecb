//! How long to wait after a failed attempt.

use std::time::Duration;

/// The longest pause of one queue.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The longest pause of an endpoint that answers nothing: an attempt shows when it does again.
const LONGEST_OF_ENDPOINT: Duration = Duration::from_secs(60);

/// The pauses after failed attempts: each twice the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    /// The first pause.
    pub(super) first: Duration,
}

impl Backoff {
    /// Returns the pause of a queue after so many failed attempts in a row, the last one included. `spread` of 0 to 255 makes it up
    /// to a quarter longer, so that many queues do not come back at once.
    pub(super) fn of_queue(self, failed: u32, spread: u8) -> Duration {
        let pause = self.doubled(failed, LONGEST);
        pause + pause * u32::from(spread) / 1_024
    }

    /// Returns the pause of an endpoint after so many failed attempts in a row, of whatever queue.
    pub(super) fn of_endpoint(self, failed: u32) -> Duration {
        self.doubled(failed, LONGEST_OF_ENDPOINT)
    }

    fn doubled(self, failed: u32, longest: Duration) -> Duration {
        let factor = 2_u32.saturating_pow(failed.saturating_sub(1).min(30));
        self.first.saturating_mul(factor).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_a_bound() {
        let backoff = Backoff { first: Duration::from_secs(1) };
        let seconds = [1, 2, 3, 9, 10, 11, 99].map(|failed| backoff.of_queue(failed, 0).as_secs());
        assert_eq!(seconds, [1, 2, 4, 256, 512, 900, 900]);
        assert_eq!(backoff.of_endpoint(99), LONGEST_OF_ENDPOINT);
        let spread = backoff.of_queue(1, u8::MAX);
        assert!(spread > Duration::from_millis(1_200) && spread < Duration::from_millis(1_250));
    }
}
