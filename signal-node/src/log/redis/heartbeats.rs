//! The heartbeats of the nodes: one hash, one counter each.

use std::collections::HashMap;

use fred::interfaces::HashesInterface as _;
use fred::types::config::Server;
use futures_util::future::BoxFuture;
use signal_protocol::NodeId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::{RedisLog, rejected};
use crate::log::{HeartbeatStore, Load, LogError};

/// Node id → how often its heart has beaten.
const NODES: &str = "nodes";

/// Node id → what it carries, as JSON.
const LOADS: &str = "loads";

/// Counts how often a connection was made again.
pub(super) async fn count_reconnects(
    mut connected: Receiver<Server>,
    reconnects: watch::Sender<u64>,
) {
    while !matches!(connected.recv().await, Err(RecvError::Closed)) {
        reconnects.send_modify(|count| *count += 1);
    }
}

impl RedisLog {
    async fn counters(&self, node: &NodeId, beats: bool) -> Result<Vec<(NodeId, u64)>, LogError> {
        if beats {
            let _: u64 = self.commands.hincrby(NODES, node.as_str(), 1).await?;
        }
        let counters: HashMap<String, u64> = self.commands.hgetall(NODES).await?;
        // What is not one of our ids is not one of our nodes.
        let nodes =
            counters.into_iter().filter_map(|(node, count)| Some((node.parse().ok()?, count)));
        Ok(nodes.collect())
    }

    async fn strike(&self, nodes: &[NodeId]) -> Result<(), LogError> {
        let nodes: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
        let _: u64 = self.commands.hdel(NODES, nodes.clone()).await?;
        let _: u64 = self.commands.hdel(LOADS, nodes).await?;
        Ok(())
    }

    async fn write_load(&self, node: &NodeId, load: &Load) -> Result<(), LogError> {
        let text = serde_json::to_string(load).expect("texts and numbers serialize");
        let _: u64 = self.commands.hset(LOADS, (node.as_str(), text)).await?;
        Ok(())
    }

    async fn read_loads(&self) -> Result<Vec<(NodeId, Load)>, LogError> {
        let loads: HashMap<String, String> = self.commands.hgetall(LOADS).await?;
        // What another version has written in another way is left out.
        let read = |(node, load): (String, String)| {
            Some((node.parse().ok()?, serde_json::from_str(&load).ok()?))
        };
        Ok(loads.into_iter().filter_map(read).collect())
    }
}

impl HeartbeatStore for RedisLog {
    fn exchange<'a>(
        &'a self,
        node: &'a NodeId,
        beats: bool,
    ) -> BoxFuture<'a, Result<Vec<(NodeId, u64)>, LogError>> {
        Box::pin(async move {
            let counters = self.counters(node, beats).await;
            if let Err(error) = &counters {
                rejected::log(error, &self.rejections);
            }
            counters
        })
    }

    fn report<'a>(
        &'a self,
        node: &'a NodeId,
        load: &'a Load,
    ) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.write_load(node, load))
    }

    fn loads(&self) -> BoxFuture<'_, Result<Vec<(NodeId, Load)>, LogError>> {
        Box::pin(self.read_loads())
    }

    fn forget<'a>(&'a self, nodes: &'a [NodeId]) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.strike(nodes))
    }

    fn reconnects(&self) -> watch::Receiver<u64> {
        self.reconnects.subscribe()
    }
}
