//! The allocations of the relay, and whose they are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whose an allocation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AllocationOwner {
    /// The part of the username after the expiry: the same for every credential of a user.
    pub(super) user: String,
    /// The address from which it was requested.
    pub(super) client: SocketAddr,
}

/// The allocations in use, by their relayed address.
#[derive(Clone, Default)]
pub(super) struct Allocations(Arc<Mutex<HashMap<SocketAddr, Option<AllocationOwner>>>>);

impl Allocations {
    fn active(&self) -> MutexGuard<'_, HashMap<SocketAddr, Option<AllocationOwner>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, relayed: SocketAddr, owner: Option<AllocationOwner>) {
        self.active().insert(relayed, owner);
    }

    pub(super) fn remove(&self, relayed: SocketAddr) {
        self.active().remove(&relayed);
    }

    pub(super) fn contains(&self, relayed: SocketAddr) -> bool {
        self.active().contains_key(&relayed)
    }

    /// Tells whether a user has `quota` allocations without the one that this client may have already: that one is for
    /// the server to refuse, with 437.
    pub(super) fn is_quota_reached(&self, owner: &AllocationOwner, quota: usize) -> bool {
        let active = self.active();
        let others = active.values().flatten();
        others.filter(|other| other.user == owner.user && other.client != owner.client).count()
            >= quota
    }
}
