//! A token bucket.

use std::time::Duration;

use service_kit::settings::Rate;
use tokio::time::Instant;

/// The longest time that a bucket may take to refill what is owed.
const MOST_OWED: Duration = Duration::from_secs(100);

/// A token bucket (generic cell rate algorithm, ITU-T I.371). The rate is an argument, since all buckets of a kind share
/// the node's, and there is one bucket for each connection.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    /// When the bucket is full again.
    full_at: Instant,
}

impl TokenBucket {
    /// Starts full.
    pub(crate) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes `amount` tokens, or returns how long to wait until they are there. An amount above the burst takes a full
    /// bucket.
    pub(crate) fn take(&mut self, rate: Rate, amount: usize, now: Instant) -> Result<(), Duration> {
        self.check(rate, amount, now)?;
        self.charge(rate, amount.min(rate.burst.get() as usize), now);
        Ok(())
    }

    /// Tells whether [`TokenBucket::take`] would succeed, or how long to wait.
    pub(crate) fn check(&self, rate: Rate, amount: usize, now: Instant) -> Result<(), Duration> {
        let depth = time_for(rate, rate.burst.get() as usize);
        let needed = self.missing(now) + time_for(rate, amount).min(depth);
        if needed > depth { Err(needed.saturating_sub(depth)) } else { Ok(()) }
    }

    /// Takes `amount` tokens, whether they are there or not; no more are owed than come in a hundred seconds.
    pub(crate) fn charge(&mut self, rate: Rate, amount: usize, now: Instant) {
        let owed = self.full_at.max(now) + time_for(rate, amount);
        self.full_at = owed.min(now + MOST_OWED + time_for(rate, rate.burst.get() as usize));
    }

    /// Tells whether the bucket is full.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.missing(now).is_zero()
    }

    /// Tells whether the bucket is at least half full.
    pub(crate) fn is_half_full(&self, rate: Rate, now: Instant) -> bool {
        self.missing(now) <= time_for(rate, rate.burst.get() as usize) / 2
    }

    fn missing(&self, now: Instant) -> Duration {
        self.full_at.saturating_duration_since(now)
    }
}

/// Returns how long it takes to refill `amount` tokens.
fn time_for(rate: Rate, amount: usize) -> Duration {
    let nanos = rate.interval.as_nanos() * amount as u128 / u128::from(rate.count.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate() -> Rate {
        "10/s,burst=20".parse().unwrap()
    }

    #[test]
    fn a_burst_passes_and_the_next_waits_its_turn() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(now);
        assert!((0..20).all(|_| bucket.take(rate(), 1, now).is_ok()));
        assert_eq!(bucket.take(rate(), 1, now), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(rate(), 1, now + Duration::from_millis(100)), Ok(()));
    }

    #[test]
    fn an_amount_above_the_burst_passes_once_the_bucket_is_full() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(now);
        assert_eq!(bucket.take(rate(), 1_000, now), Ok(()));
        assert_eq!(bucket.take(rate(), 1_000, now), Err(Duration::from_secs(2)));
        assert_eq!(bucket.take(rate(), 1_000, now + Duration::from_secs(2)), Ok(()));
    }
}
