//! How many connections there are, in all and per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service_kit::rate::ip_key;
use tokio::sync::Notify;

/// Counts who is here.
pub struct Visitors {
    most: usize,
    most_per_address: usize,
    draining: AtomicBool,
    counts: Mutex<Counts>,
    left: Notify,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why nobody more is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// The node is full.
    Node,
    /// This address has too many connections.
    Address,
    /// The node is about to stop.
    Draining,
}

/// A place; freed when dropped.
pub struct Place {
    visitors: Arc<Visitors>,
    address: IpAddr,
}

impl Visitors {
    /// Counts up to `most` in all, and `most_per_address` per address (IPv6: per /64).
    #[must_use]
    pub fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        let draining = AtomicBool::new(false);
        let (counts, left) = (Mutex::default(), Notify::new());
        Arc::new(Self { most, most_per_address, draining, counts, left })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets nobody in any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns how many are here.
    #[must_use]
    pub fn count(&self) -> usize {
        self.counts().all
    }

    /// Waits until nobody is here.
    pub async fn gone(&self) {
        loop {
            let left = self.left.notified();
            if self.counts().all == 0 {
                return;
            }
            left.await;
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Crowded`] if there is none.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, Crowded> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Crowded::Draining);
        }
        let address = ip_key(address);
        let mut counts = self.counts();
        if counts.all >= self.most {
            return Err(Crowded::Node);
        }
        let here = counts.by_address.entry(address).or_default();
        if *here >= self.most_per_address {
            return Err(Crowded::Address);
        }
        *here += 1;
        counts.all += 1;
        Ok(Place { visitors: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.visitors.counts();
        counts.all -= 1;
        if counts.all == 0 {
            self.visitors.left.notify_waiters();
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

    #[test]
    fn places_are_counted_per_address_and_in_all_and_freed() {
        let visitors = Visitors::new(3, 2);
        let [ana, bo] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let first = visitors.enter(ana).ok().unwrap();
        let _second = visitors.enter(ana).ok().unwrap();
        assert_eq!(visitors.enter(ana).err(), Some(Crowded::Address));
        let _third = visitors.enter(bo).ok().unwrap();
        assert_eq!(visitors.enter(bo).err(), Some(Crowded::Node));
        drop(first);
        assert!(visitors.enter(bo).is_ok());
        visitors.drain();
        assert_eq!(visitors.enter(bo).err(), Some(Crowded::Draining));
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let visitors = Visitors::new(10, 1);
        let _one = visitors.enter("2001:db8::1".parse().unwrap()).ok().unwrap();
        assert!(visitors.enter("2001:db8::ffff".parse().unwrap()).is_err());
        assert!(visitors.enter("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }
}
