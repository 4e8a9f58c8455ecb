//! Watches one connection to Redis: asks every server behind it for a sign of life, and replaces the connection when
//! it is silent, when the server is the wrong one, or when fred's task for it has ended.

use std::sync::{Arc, Weak};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike as _, ClusterInterface as _};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::connection::{Connection, bounded};
use super::probes::Reach;
use crate::log::LogError;

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
            replace(&connection, &why).await;
        }
    }
}

/// Says why the connection has to be replaced, if it has to be.
fn fault(connection: &Connection) -> Option<String> {
    if connection.is_dead() {
        return Some("its client has ended".to_owned());
    }
    match connection.reach() {
        Reach::Nothing => Some("Redis has not answered on it for a lease".to_owned()),
        Reach::Part(servers) => {
            let servers = servers.join(", ");
            Some(format!("{servers} of the cluster has not answered on it for a lease"))
        }
        Reach::Whole => {
            connection.was_misdirected().then(|| "the server is not the primary".to_owned())
        }
    }
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
        // What is wrong is logged once, by who watches the heartbeats.
        Err(error) => debug!(%error, "cannot connect to Redis again for {name}: {error}"),
    }
}

/// Asks every server once, and notes which of them have answered.
async fn probe(connection: &Connection, limit: Duration) {
    let client = connection.client();
    let servers = servers(&client);
    let asked = servers.iter().map(|server| async {
        let answer = bounded(limit, ping(&client, server.as_ref())).await;
        if let Err(error) = &answer {
            debug!(%error, "a probe of Redis for {} failed: {error}", connection.name);
        }
        (server.as_ref().map(ToString::to_string).unwrap_or_default(), answer.is_ok())
    });
    let probed = join_all(asked).await;
    connection.probes().probed(&probed, Instant::now());
}

/// Returns the primaries of a cluster; a single server has no name.
fn servers(client: &Client) -> Vec<Option<fred::types::config::Server>> {
    let state = client.is_clustered().then(|| client.cached_cluster_state()).flatten();
    let primaries = state.map(|state| state.unique_primary_nodes()).unwrap_or_default();
    if primaries.is_empty() { vec![None] } else { primaries.into_iter().map(Some).collect() }
}

async fn ping(
    client: &Client,
    server: Option<&fred::types::config::Server>,
) -> Result<(), LogError> {
    match server {
        None => client.ping::<()>(None).await?,
        Some(server) => client.with_cluster_node(server).ping::<()>(None).await?,
    }
    Ok(())
}
