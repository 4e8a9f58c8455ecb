//! Limits on upgrades that show no valid token, so that they take nothing from those that do.
//!
//! Two buckets, since addresses are shared: one network (IPv4 /24, IPv6 /64) may attempt so many upgrades without a
//! valid token, and one address from which that many tokens were refused waits before another one is verified. A valid
//! token passes both.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::rate::{ip_key, network_key};
use service_kit::settings::Rate;
use tokio::time::Instant;

use crate::token_bucket::TokenBucket;

/// Keys that are kept before those with a full bucket are looked for.
const KEPT: usize = 4_096;

/// Counts upgrades without a valid token.
pub struct UnverifiedLimiter {
    rate: Rate,
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    refused: Keyed,
    attempts: Keyed,
}

/// Buckets by address or network; one that is missing is full.
#[derive(Default)]
struct Keyed {
    map: HashMap<IpAddr, TokenBucket>,
    sweep_at: usize,
}

impl Keyed {
    /// Returns the bucket. Each doubling first forgets those that are full again.
    fn bucket(&mut self, key: IpAddr, now: Instant) -> &mut TokenBucket {
        if self.map.len() >= self.sweep_at {
            self.map.retain(|_, bucket| !bucket.is_full(now));
            self.sweep_at = (self.map.len() * 2).max(KEPT);
        }
        self.map.entry(key).or_insert_with(|| TokenBucket::new(now))
    }
}

impl UnverifiedLimiter {
    /// Starts with full buckets.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Tells whether another token of this address is verified now.
    ///
    /// # Errors
    /// The time until it is.
    pub fn may_verify(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let buckets = self.buckets();
        let refused = buckets.refused.map.get(&ip_key(address));
        refused.map_or(Ok(()), |bucket| bucket.check(self.rate, 1, now))
    }

    /// Notes that a token of this address was refused.
    pub fn token_refused(&self, address: IpAddr, now: Instant) {
        self.buckets().refused.bucket(ip_key(address), now).charge(self.rate, 1, now);
    }

    /// Counts an upgrade that shows no valid token.
    ///
    /// # Errors
    /// The time until this network may attempt another one.
    pub fn attempt(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        self.buckets().attempts.bucket(network_key(address), now).take(self.rate, 1, now)
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_a_rate_and_other_networks_are_not_touched() {
        let (limiter, now) =
            (UnverifiedLimiter::new("1/s,burst=2".parse().unwrap()), Instant::now());
        assert_eq!(limiter.attempt(address("192.0.2.1"), now), Ok(()));
        assert_eq!(limiter.attempt(address("192.0.2.200"), now), Ok(()));
        assert_eq!(limiter.attempt(address("192.0.2.3"), now), Err(SECOND));
        assert_eq!(limiter.attempt(address("192.0.3.1"), now), Ok(()));
        for host in ["2001:db8::1", "2001:db8::2"] {
            assert_eq!(limiter.attempt(address(host), now), Ok(()));
        }
        assert_eq!(limiter.attempt(address("2001:db8::3"), now), Err(SECOND));
        assert_eq!(limiter.attempt(address("2001:db8:0:1::1"), now), Ok(()));
    }

    #[test]
    fn refused_tokens_stop_the_verification_for_their_address_only() {
        let (limiter, now) =
            (UnverifiedLimiter::new("1/s,burst=2".parse().unwrap()), Instant::now());
        for _ in 0..2 {
            assert_eq!(limiter.may_verify(address("192.0.2.1"), now), Ok(()));
            limiter.token_refused(address("192.0.2.1"), now);
        }
        assert_eq!(limiter.may_verify(address("192.0.2.1"), now), Err(SECOND));
        assert_eq!(limiter.may_verify(address("192.0.2.2"), now), Ok(()), "a neighbour");
        assert_eq!(limiter.may_verify(address("192.0.2.1"), now + SECOND), Ok(()));
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let (limiter, now) =
            (UnverifiedLimiter::new("1/s,burst=1".parse().unwrap()), Instant::now());
        for number in 0..20_000_u32 {
            let later = now + Duration::from_secs(u64::from(number));
            assert!(limiter.attempt(IpAddr::from((number << 8).to_be_bytes()), later).is_ok());
        }
        assert!(limiter.buckets().attempts.map.len() <= 2 * KEPT);
    }
}
