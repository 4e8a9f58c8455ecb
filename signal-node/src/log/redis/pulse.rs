//! The heartbeats of the nodes: one hash, one counter each.

use std::collections::HashMap;

use fred::interfaces::HashesInterface as _;
use fred::types::config::Server;
use futures_util::future::BoxFuture;
use signal_protocol::NodeId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::RedisLog;
use crate::log::{LogError, Pulse};

/// Node id → how often its heart has beaten.
const NODES: &str = "nodes";

/// Counts how often a connection was made again.
pub(super) async fn count(mut connected: Receiver<Server>, reconnects: watch::Sender<u64>) {
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
        let _: u64 = self.commands.hdel(NODES, nodes).await?;
        Ok(())
    }
}

impl Pulse for RedisLog {
    fn feel<'a>(
        &'a self,
        node: &'a NodeId,
        beats: bool,
    ) -> BoxFuture<'a, Result<Vec<(NodeId, u64)>, LogError>> {
        Box::pin(self.counters(node, beats))
    }

    fn forget<'a>(&'a self, nodes: &'a [NodeId]) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.strike(nodes))
    }

    fn reconnects(&self) -> watch::Receiver<u64> {
        self.reconnects.subscribe()
    }
}
