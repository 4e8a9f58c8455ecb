//! The message rate of one connection.

use std::time::Duration;

use service_kit::settings::Rate;
use tokio::time::Instant;

use crate::token_bucket::TokenBucket;

/// Exceeding the rate without a break for this long closes the connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// A token bucket that remembers since when it has been exceeded.
#[derive(Debug)]
pub(super) struct MessageRateLimit {
    bucket: TokenBucket,
    excess_since: Option<Instant>,
}

/// The decision about one message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RateDecision {
    /// It is within the rate.
    Allow,
    /// It is rejected; it may be sent again after this time.
    Wait(Duration),
    /// The rate was exceeded for [`PATIENCE`]: the connection is closed.
    Exceeded,
}

impl MessageRateLimit {
    pub(super) fn new(now: Instant) -> Self {
        Self { bucket: TokenBucket::new(now), excess_since: None }
    }

    /// Counts one message. Excess is unbroken while the bucket has not been half full again.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> RateDecision {
        if self.bucket.is_half_full(rate, now) {
            self.excess_since = None;
        }
        let Err(wait) = self.bucket.take(rate, 1, now) else { return RateDecision::Allow };
        let since = *self.excess_since.get_or_insert(now);
        if now.duration_since(since) >= PATIENCE {
            RateDecision::Exceeded
        } else {
            RateDecision::Wait(wait)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate() -> Rate {
        "10/s,burst=20".parse().unwrap()
    }

    fn empty_pace(now: Instant) -> MessageRateLimit {
        let mut pace = MessageRateLimit::new(now);
        assert!((0..20).all(|_| pace.take(rate(), now) == RateDecision::Allow));
        pace
    }

    #[test]
    fn ten_seconds_of_unbroken_excess_end_the_connection() {
        let start = Instant::now();
        let mut pace = empty_pace(start);
        let verdict =
            |pace: &mut MessageRateLimit, ms| pace.take(rate(), start + Duration::from_millis(ms));
        assert!((0..9_990).step_by(10).all(|ms| verdict(&mut pace, ms) != RateDecision::Exceeded));
        assert!(
            (10_000..10_200).step_by(10).any(|ms| verdict(&mut pace, ms) == RateDecision::Exceeded)
        );
    }

    #[test]
    fn a_rest_ends_the_excess() {
        let start = Instant::now();
        let mut pace = empty_pace(start);
        assert!(matches!(pace.take(rate(), start), RateDecision::Wait(_)));
        assert_eq!(pace.take(rate(), start + Duration::from_secs(9)), RateDecision::Allow);
        let again = start + Duration::from_secs(11);
        while pace.take(rate(), again) == RateDecision::Allow {}
        assert!(matches!(pace.take(rate(), again), RateDecision::Wait(_)));
    }
}
