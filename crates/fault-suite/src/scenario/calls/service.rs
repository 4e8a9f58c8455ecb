//! The one address of a cluster, behind which its balancer chooses the node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use signal_client::transport::{Socket, race};
use tokio_tungstenite::tungstenite::Error;

use crate::client::{Endpoints, dial};

/// Connections that were refused or broke before they opened.
#[derive(Clone, Default)]
pub(super) struct FailedDials(Arc<AtomicU64>);

impl FailedDials {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) struct Service {
    address: SocketAddr,
    failed_dials: FailedDials,
}

impl Service {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, failed_dials: FailedDials::default() }
    }

    pub(super) fn failed_dials(&self) -> FailedDials {
        self.failed_dials.clone()
    }
}

impl Endpoints for Service {
    fn count(&self) -> usize {
        1
    }

    fn dial(&self, _endpoint: usize, token: String) -> BoxFuture<'static, Result<Socket, Error>> {
        let (address, FailedDials(failed)) = (self.address, self.failed_dials());
        Box::pin(async move {
            // As applications do: the balancer may have chosen a machine that is off.
            let opened = race(|| dial(address, &token)).await;
            failed.fetch_add(u64::from(opened.is_err()), Ordering::Relaxed);
            opened
        })
    }
}
