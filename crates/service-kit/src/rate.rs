//! Rate limits per key, such as a subject or an address.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::settings::Rate;

/// Checks between two sweeps of keys whose allowance is full again.
const SWEEP_EVERY: usize = 4096;

type Governor<K> =
    RateLimiter<K, DashMapStateStore<K>, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// Limits the rate of each key.
///
/// Idle keys are removed, so memory follows the number of keys active within one interval.
pub struct Limiter<K: Hash + Eq + Clone> {
    governor: Governor<K>,
    checks: AtomicUsize,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// Creates a limiter in which every key starts with its full burst.
    ///
    /// # Panics
    /// Never: a [`Rate`] has at least one per interval.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let period = (rate.interval / rate.count.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(period).expect("the period is not zero");
        let governor = RateLimiter::new(
            quota.allow_burst(rate.burst),
            DashMapStateStore::default(),
            MonotonicClock,
        );
        Self { governor, checks: AtomicUsize::new(0) }
    }

    /// Counts one attempt of `key`.
    ///
    /// # Errors
    /// The time until the next attempt is allowed.
    pub fn check(&self, key: &K) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.governor.retain_recent();
            self.governor.shrink_to_fit();
        }
        self.governor.check_key(key).map_err(|refused| refused.wait_time_from(MonotonicClock.now()))
    }

    /// Number of keys in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.governor.len()
    }

    /// Returns whether no key is in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.governor.is_empty()
    }
}

impl<K: Hash + Eq + Clone> fmt::Debug for Limiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("keys", &self.len()).finish_non_exhaustive()
    }
}

/// Reduces an address to the part that one holder cannot easily change: the /64 of IPv6. An
/// IPv4-mapped address becomes IPv4.
#[must_use]
pub fn ip_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            Ipv6Addr::from(network).into()
        }
    }
}

/// Reduces an address to the network whose holder changes addresses at will: the /24 of IPv4, the /64 of IPv6.
#[must_use]
pub fn network_key(address: IpAddr) -> IpAddr {
    match ip_key(address) {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) >> 8 << 8).into(),
        IpAddr::V6(network) => network.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(rate: &str) -> Limiter<u32> {
        Limiter::new(rate.parse().unwrap())
    }

    #[test]
    fn a_key_past_its_burst_gets_the_time_to_wait() {
        let limiter = limiter("2/h");
        assert!(limiter.check(&1).is_ok() && limiter.check(&1).is_ok());
        let wait = limiter.check(&1).unwrap_err();
        assert!(wait > Duration::from_secs(1700) && wait <= Duration::from_secs(1800), "{wait:?}");
    }

    #[test]
    fn keys_do_not_spend_each_others_allowance() {
        let limiter = limiter("1/h");
        assert!(limiter.check(&1).is_ok());
        assert!(limiter.check(&2).is_ok());
        assert!(limiter.check(&1).is_err());
    }

    #[test]
    fn keys_at_rest_are_forgotten() {
        let limiter = limiter("1000000000/s,burst=4000000");
        for key in 0..100_000 {
            assert!(limiter.check(&key).is_ok());
        }
        assert!(limiter.len() <= SWEEP_EVERY + 1, "{} keys remembered", limiter.len());
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_key() {
        let key = |text: &str| ip_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
