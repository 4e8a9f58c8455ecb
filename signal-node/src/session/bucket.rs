//! How fast one connection may speak.

use std::time::Duration;

use service_kit::settings::Rate;
use tokio::time::Instant;

/// Excess without a break for this long ends the connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// A token bucket that remembers since when it has been empty. The rate is the node's, and not kept with each session.
#[derive(Debug)]
pub(super) struct Bucket {
    /// When the bucket will be full again (generic cell rate algorithm, ITU-T I.371).
    full_at: Instant,
    excess_since: Option<Instant>,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may pass.
    Pass,
    /// It came too soon by this much.
    Wait(Duration),
    /// It has been too much for too long.
    Enough,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self { full_at: now, excess_since: None }
    }

    /// Counts one message. Excess is unbroken while the bucket has not been half full again.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> Verdict {
        let cost = rate.interval / rate.count.get();
        let depth = cost * rate.burst.get();
        let filled = self.full_at.saturating_duration_since(now);
        if filled <= depth / 2 {
            self.excess_since = None;
        }
        if filled + cost <= depth {
            self.full_at = self.full_at.max(now) + cost;
            return Verdict::Pass;
        }
        let since = *self.excess_since.get_or_insert(now);
        if now.duration_since(since) >= PATIENCE {
            Verdict::Enough
        } else {
            Verdict::Wait((filled + cost).saturating_sub(depth))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate() -> Rate {
        "10/s,burst=20".parse().unwrap()
    }

    fn empty_bucket(now: Instant) -> Bucket {
        let mut bucket = Bucket::new(now);
        assert!((0..20).all(|_| bucket.take(rate(), now) == Verdict::Pass));
        bucket
    }

    #[test]
    fn a_burst_passes_and_the_next_message_waits_its_turn() {
        let now = Instant::now();
        let mut bucket = empty_bucket(now);
        assert_eq!(bucket.take(rate(), now), Verdict::Wait(Duration::from_millis(100)));
        assert_eq!(bucket.take(rate(), now + Duration::from_millis(100)), Verdict::Pass);
    }

    #[test]
    fn ten_seconds_of_unbroken_excess_end_the_connection() {
        let start = Instant::now();
        let mut bucket = empty_bucket(start);
        let verdict =
            |bucket: &mut Bucket, ms| bucket.take(rate(), start + Duration::from_millis(ms));
        assert!((0..9_990).step_by(10).all(|ms| verdict(&mut bucket, ms) != Verdict::Enough));
        assert!((10_000..10_200).step_by(10).any(|ms| verdict(&mut bucket, ms) == Verdict::Enough));
    }

    #[test]
    fn a_rest_ends_the_excess() {
        let start = Instant::now();
        let mut bucket = empty_bucket(start);
        assert!(matches!(bucket.take(rate(), start), Verdict::Wait(_)));
        assert_eq!(bucket.take(rate(), start + Duration::from_secs(9)), Verdict::Pass);
        let again = start + Duration::from_secs(11);
        while bucket.take(rate(), again) == Verdict::Pass {}
        assert!(matches!(bucket.take(rate(), again), Verdict::Wait(_)));
    }
}
