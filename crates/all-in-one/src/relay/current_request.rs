//! The request that the server is about to handle: its socket has verified it, and the server asks for the rest.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use turn::Error;
use turn::auth::AuthHandler;

use super::allocations::AllocationOwner;

/// A request with a valid signature.
struct ValidRequest {
    key: Vec<u8>,
    owner: AllocationOwner,
}

/// The valid request received last.
///
/// One slot suffices: the server finishes a request before it receives the next one.
#[derive(Clone, Default)]
pub(super) struct CurrentRequest(Arc<Mutex<Option<ValidRequest>>>);

impl CurrentRequest {
    fn slot(&self) -> MutexGuard<'_, Option<ValidRequest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, key: Vec<u8>, owner: AllocationOwner) {
        *self.slot() = Some(ValidRequest { key, owner });
    }

    /// Returns whose an allocation is that the server makes now.
    pub(super) fn owner(&self) -> Option<AllocationOwner> {
        self.slot().as_ref().map(|request| request.owner.clone())
    }
}

impl AuthHandler for CurrentRequest {
    fn auth_handle(&self, _: &str, _: &str, _: SocketAddr) -> Result<Vec<u8>, Error> {
        Ok(self.slot().as_ref().map(|request| request.key.clone()).unwrap_or_default())
    }
}
