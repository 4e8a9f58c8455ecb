//! Watches one connection to Redis: asks for a sign of life, and replaces the connection when it is silent, when the
//! server is the wrong one, or when fred's task for it has ended.

use std::sync::{Arc, Weak};
use std::time::Duration;

use fred::interfaces::ClientLike as _;
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::connection::{Connection, bounded};

/// Probes per lease, and how often one is sent at least.
const PROBES_PER_LEASE: u32 = 6;
const PROBE_EVERY_MAX: Duration = Duration::from_secs(1);

/// Watches until the connection is dropped.
pub(super) async fn watch(connection: Weak<Connection>, lease: Duration) {
    let every = (lease / PROBES_PER_LEASE).min(PROBE_EVERY_MAX);
    loop {
        {
            let Some(connection) = connection.upgrade() else { return };
            tokio::select! {
                () = sleep(every) => {}
                () = connection.alarmed() => {}
            }
        }
        let Some(connection) = connection.upgrade() else { return };
        if !connection.is_dead() {
            // A client that ends meanwhile answers nothing more.
            tokio::select! {
                () = probe(&connection, every.max(lease / 2)) => {}
                () = connection.alarmed() => {}
            }
        }
        if let Some(why) = fault(&connection) {
            replace(&connection, why).await;
        }
    }
}

/// Says why the connection has to be replaced, if it has to be.
fn fault(connection: &Connection) -> Option<&'static str> {
    if connection.is_dead() {
        return Some("its client has ended");
    }
    if connection.is_silent() {
        return Some("Redis has not answered on it for a lease");
    }
    connection.was_misdirected().then_some("the server is not the primary")
}

async fn replace(connection: &Arc<Connection>, why: &str) {
    let now = Instant::now();
    if !connection.probes().may_replace(now) {
        // Asked again with the next probe: a wrong server stays the wrong one.
        return;
    }
    connection.probes().replaced(now);
    let name = connection.name;
    match connection.replace().await {
        Ok(()) => info!("connected to Redis again for {name}, since {why}"),
        // The watch of the heartbeats logs the fault, once.
        Err(error) => debug!(%error, "cannot connect to Redis again for {name}: {error}"),
    }
}

/// Asks for a sign of life once, and notes an answer.
async fn probe(connection: &Connection, limit: Duration) {
    let client = connection.client();
    match bounded(limit, async { Ok(client.ping::<()>(None).await?) }).await {
        Ok(()) => connection.probes().answered(Instant::now()),
        Err(error) => debug!(%error, "a probe of Redis for {} failed: {error}", connection.name),
    }
}
