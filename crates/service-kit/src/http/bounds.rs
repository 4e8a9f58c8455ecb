//! How many connections a listener serves at once, so that those who hold connections open take no descriptor from
//! those who are in.
//!
//! A connection counts while it speaks HTTP. One that becomes a WebSocket counts no more: it has limits of its own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rate::ip_key;

/// The bounds of one listener.
#[derive(Clone, Debug)]
pub struct ConnectionBounds {
    /// Connections at once. While there are as many, the others wait in the backlog of the system.
    pub most: usize,
    /// Connections of one address at once, IPv6 by /64; more are answered 429 and closed.
    pub most_per_address: Option<usize>,
    /// Networks without that bound: proxies, which connect for many.
    pub proxies: Vec<IpNet>,
}

impl Default for ConnectionBounds {
    /// A half of the descriptors that the process may have.
    fn default() -> Self {
        Self { most: descriptors() / 2, most_per_address: None, proxies: Vec::new() }
    }
}

/// Returns how many descriptors this process may have.
#[must_use]
pub fn descriptors() -> usize {
    let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(1_024, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// The connections of each address.
type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Counts the connections of one listener.
pub(super) struct ConnectionCounter {
    all: Arc<Semaphore>,
    most_per_address: Option<usize>,
    proxies: Vec<IpNet>,
    by_address: Counts,
}

/// A counted connection, until it is dropped.
pub(super) struct CountedConnection {
    _one_of_all: OwnedSemaphorePermit,
    address: Option<(IpAddr, Counts)>,
}

impl ConnectionCounter {
    pub(super) fn new(bounds: ConnectionBounds) -> Self {
        let ConnectionBounds { most, most_per_address, proxies } = bounds;
        // A listener that serves nobody cannot say why.
        let all = Arc::new(Semaphore::new(most.clamp(32, Semaphore::MAX_PERMITS)));
        Self { all, most_per_address, proxies, by_address: Arc::default() }
    }

    /// Waits until another connection may be accepted.
    pub(super) async fn wait(&self) -> OwnedSemaphorePermit {
        self.all.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Counts an accepted connection; `None` if its address has too many.
    pub(super) fn count(
        &self,
        permit: OwnedSemaphorePermit,
        peer: Option<SocketAddr>,
    ) -> Option<CountedConnection> {
        let address = peer.map(|peer| peer.ip().to_canonical());
        let is_proxy =
            |address: &IpAddr| self.proxies.iter().any(|network| network.contains(address));
        let bounded = address.filter(|address| !is_proxy(address)).zip(self.most_per_address);
        let Some((address, most)) = bounded else {
            return Some(CountedConnection { _one_of_all: permit, address: None });
        };
        let address = ip_key(address);
        let mut counts = lock(&self.by_address);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        let address = Some((address, self.by_address.clone()));
        Some(CountedConnection { _one_of_all: permit, address })
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let Some((address, counts)) = &self.address else { return };
        let mut counts = lock(counts);
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
            }
        }
    }
}

fn lock(counts: &Counts) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
