//! What a signal costs as the cluster grows: more nodes, more idle rooms, more Redis.

use std::time::Duration;

use super::meter::WindowFigures;
use super::open;
use super::relay::{PAIRS, Pacing, Relay};
use crate::client::{Client, PlannedConnection};
use crate::problem::Problem;
use crate::servers::{Fleet, Programs, Redis, RedisCluster, Store};

/// Rooms on one idle connection.
const ROOMS_PER_CONNECTION: u32 = 50;
/// Idle clients are numbered from here on, so that nobody else has their names.
const FIRST_IDLE: u32 = 1_000_000;

/// The settings with which one connection may be in so many rooms.
const MANY_ROOMS: [(&str, &str); 1] = [("ROOMS_PER_CONNECTION", "50")];

/// Measures what a signal costs on so many nodes over one Redis, or over a Redis Cluster.
pub(crate) async fn nodes(
    programs: &Programs,
    count: usize,
    cluster: bool,
    window: Duration,
) -> Result<WindowFigures, Problem> {
    let store = if cluster {
        Store::Cluster(RedisCluster::start().await?)
    } else {
        Store::Redis(Box::new(Redis::start().await?))
    };
    let fleet = Fleet::signal(count, store, programs, &[]).await?;
    relay(window).run(&fleet).await
}

/// What idle rooms cost, and what a signal costs beside them.
pub(crate) struct Rooms {
    pub(crate) signal: WindowFigures,
    /// Bytes of Redis memory per idle room with one member.
    pub(crate) redis_bytes: f64,
    /// KiB of node memory per idle room with one member.
    pub(crate) node_kib: f64,
}

/// Measures on two nodes with so many idle rooms.
pub(crate) async fn rooms(
    programs: &Programs,
    count: u32,
    window: Duration,
) -> Result<Rooms, Problem> {
    let store = Store::Redis(Box::new(Redis::start().await?));
    let fleet = Fleet::signal(2, store, programs, &MANY_ROOMS).await?;
    let before = memory(&fleet).await?;
    let idle = fill(&fleet, count).await?;
    let after = memory(&fleet).await?;
    let signal = relay(window).run(&fleet).await?;
    drop(idle);
    let per_room = |bytes: f64| if count == 0 { 0.0 } else { bytes / f64::from(count) };
    Ok(Rooms {
        signal,
        redis_bytes: per_room(after.0 - before.0),
        node_kib: per_room(after.1 - before.1) / 1024.0,
    })
}

/// Bytes of Redis memory for each signal that a room's log keeps: candidates of 300 bytes.
pub(crate) async fn kept(programs: &Programs, rooms: u32) -> Result<f64, Problem> {
    const SIGNALS: u32 = 20;
    let fleet =
        Fleet::signal(1, Store::Redis(Box::new(Redis::start().await?)), programs, &[]).await?;
    let ticket = |number: u32| PlannedConnection {
        door: fleet.address_of(0),
        room: format!("call-{}", number / 2),
        number,
        back: None,
    };
    let mut clients = open(&fleet, (0..2 * rooms).map(ticket).collect()).await?;
    let (before, _) = memory(&fleet).await?;
    for pair in clients.chunks_mut(2) {
        let [a, b] = pair else { continue };
        for _ in 0..SIGNALS {
            a.feed(Some(&b.id), &super::candidate()).await?;
            a.flush().await?;
            b.receive().await?;
        }
    }
    let (after, _) = memory(&fleet).await?;
    Ok((after - before) / f64::from(rooms * SIGNALS))
}

fn relay(window: Duration) -> Relay {
    Relay { turns: Pacing::One, keeps: true, pairs: PAIRS, window }
}

/// Bytes of Redis, and of all nodes.
async fn memory(fleet: &Fleet) -> Result<(f64, f64), Problem> {
    let redis = match &fleet.store {
        Store::Redis(redis) => redis.used_memory().await?,
        Store::Nothing | Store::Cluster(_) => 0.0,
    };
    let nodes: Result<f64, Problem> =
        fleet.nodes.iter().map(|node| Ok(node.cost()?.resident)).sum();
    Ok((redis, nodes?))
}

/// Opens connections with many rooms each.
async fn fill(fleet: &Fleet, rooms: u32) -> Result<Vec<Client>, Problem> {
    let connections = rooms / ROOMS_PER_CONNECTION;
    let ticket = |index: u32| PlannedConnection {
        door: fleet.address_of(index as usize),
        room: format!("idle-{index}-0"),
        number: FIRST_IDLE + index,
        back: None,
    };
    let mut clients = open(fleet, (0..connections).map(ticket).collect()).await?;
    for (index, client) in clients.iter_mut().enumerate() {
        let more = (1..ROOMS_PER_CONNECTION).map(|room| format!("idle-{index}-{room}"));
        client.enter_more(more.collect()).await?;
    }
    Ok(clients)
}
