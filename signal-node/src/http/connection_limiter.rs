//! Limits on connections: in all, per address, and new ones per second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::rate::ip_key;
use service_kit::settings::Rate;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::token_bucket::TokenBucket;

/// Bounds on the connections of a node.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    pub most: usize,
    /// Open connections of one address; an IPv6 /64 counts as one address.
    pub most_per_address: usize,
    pub rate: Rate,
}

/// Counts the open connections of a node and rejects those beyond its [`ConnectionLimits`].
pub struct ConnectionLimiter {
    limits: ConnectionLimits,
    draining: AtomicBool,
    counts: Mutex<Counts>,
    left: Notify,
}

struct Counts {
    all: usize,
    coming: TokenBucket,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitExceeded {
    /// The node is full.
    Node,
    /// This address has too many connections.
    Address,
    /// New connections come faster than the rate; one would be accepted after this time.
    Rate(Duration),
    /// The node is draining.
    Draining,
}

/// The right to one connection; it counts until it is dropped.
pub struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
}

impl ConnectionLimiter {
    /// Starts without connections and with a full rate bucket.
    #[must_use]
    pub fn new(limits: ConnectionLimits, now: Instant) -> Arc<Self> {
        let coming = TokenBucket::new(now);
        let counts = Mutex::new(Counts { all: 0, coming, by_address: HashMap::new() });
        Arc::new(Self { limits, draining: AtomicBool::new(false), counts, left: Notify::new() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rejects every connection from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn count(&self) -> usize {
        self.counts().all
    }

    /// Waits until the last connection has ended.
    pub async fn gone(&self) {
        loop {
            let left = self.left.notified();
            if self.counts().all == 0 {
                return;
            }
            left.await;
        }
    }

    /// Counts one more connection.
    ///
    /// # Errors
    /// [`LimitExceeded`] names the limit.
    pub fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> Result<ConnectionPermit, LimitExceeded> {
        // The rate comes last: a connection that another limit rejects must not use up what the others share.
        self.enter_if(address, |counts, limits| {
            counts.coming.take(limits.rate, 1, now).map_err(LimitExceeded::Rate)
        })
    }

    /// Counts a connection that comes from another node of the cluster, where it has taken from the rate.
    ///
    /// # Errors
    /// [`LimitExceeded`] names the limit.
    pub fn enter_moved(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Result<ConnectionPermit, LimitExceeded> {
        self.enter_if(address, |_, _| Ok(()))
    }

    /// Counts one more connection that is told why it is rejected. It takes nothing from the rate, which is for those
    /// who may come in.
    ///
    /// # Errors
    /// [`LimitExceeded`] names the limit.
    pub fn enter_to_be_rejected(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Result<ConnectionPermit, LimitExceeded> {
        self.enter_if(address, |_, _| Ok(()))
    }

    fn enter_if(
        self: &Arc<Self>,
        address: IpAddr,
        allowed: impl FnOnce(&mut Counts, &ConnectionLimits) -> Result<(), LimitExceeded>,
    ) -> Result<ConnectionPermit, LimitExceeded> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(LimitExceeded::Draining);
        }
        let address = ip_key(address);
        let mut counts = self.counts();
        if counts.all >= self.limits.most {
            return Err(LimitExceeded::Node);
        }
        let here = counts.by_address.get(&address).copied().unwrap_or_default();
        if here >= self.limits.most_per_address {
            return Err(LimitExceeded::Address);
        }
        allowed(&mut counts, &self.limits)?;
        counts.by_address.insert(address, here + 1);
        counts.all += 1;
        Ok(ConnectionPermit { limiter: self.clone(), address })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.limiter.counts();
        counts.all -= 1;
        if counts.all == 0 {
            self.limiter.left.notify_waiters();
        }
        if let Some(here) = counts.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(
        most: usize,
        most_per_address: usize,
        rate: &str,
    ) -> (Arc<ConnectionLimiter>, Instant) {
        let (rate, now) = (rate.parse().unwrap(), Instant::now());
        (ConnectionLimiter::new(ConnectionLimits { most, most_per_address, rate }, now), now)
    }

    #[test]
    fn more_than_the_rate_wait_and_who_is_refused_anyway_takes_nothing_from_it() {
        let (limiter, now) = limiter(10, 1, "10/s,burst=2");
        let addresses = [1, 2, 3].map(|host| IpAddr::from([192, 0, 2, host]));
        let enter = |address, now| limiter.enter(address, now).map(std::mem::forget).err();
        assert_eq!(enter(addresses[0], now), None);
        assert_eq!(enter(addresses[0], now), Some(LimitExceeded::Address));
        assert_eq!(enter(addresses[1], now), None);
        let wait = Duration::from_millis(100);
        assert_eq!(enter(addresses[2], now), Some(LimitExceeded::Rate(wait)));
        assert_eq!(enter(addresses[2], now + wait), None);
    }

    #[test]
    fn places_are_counted_per_address_and_in_all_and_freed() {
        let (limiter, now) = limiter(3, 2, "100/s");
        let [ana, bo] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let first = limiter.enter(ana, now).ok().unwrap();
        let _second = limiter.enter(ana, now).ok().unwrap();
        assert_eq!(limiter.enter(ana, now).err(), Some(LimitExceeded::Address));
        let _third = limiter.enter(bo, now).ok().unwrap();
        assert_eq!(limiter.enter(bo, now).err(), Some(LimitExceeded::Node));
        drop(first);
        assert!(limiter.enter(bo, now).is_ok());
        limiter.drain();
        assert_eq!(limiter.enter(bo, now).err(), Some(LimitExceeded::Draining));
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let (limiter, now) = limiter(10, 1, "100/s");
        let _one = limiter.enter("2001:db8::1".parse().unwrap(), now).ok().unwrap();
        assert!(limiter.enter("2001:db8::ffff".parse().unwrap(), now).is_err());
        assert!(limiter.enter("2001:db8:0:1::1".parse().unwrap(), now).is_ok());
    }
}
