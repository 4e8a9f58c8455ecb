//! The heartbeats of the nodes: one hash, one counter each.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use fred::interfaces::HashesInterface as _;
use futures_util::future::BoxFuture;
use signal_protocol::NodeId;
use tokio::sync::watch;

use super::shards::Shard;
use super::{RedisLog, refusal, rejected};
use crate::log::{HeartbeatStore, Heartbeats, Load, LogError, Trouble};

/// Node id → how often its heart has beaten.
const NODES: &str = "nodes";

/// Node id → what it carries, as JSON.
const LOADS: &str = "loads";

/// Raises a counter and reads all of them, by the clock of the server that does it.
pub(super) const SCRIPT: &str = include_str!("heartbeat.lua");

impl RedisLog {
    async fn beat(&self, node: &NodeId, beats: bool) -> Result<Heartbeats, LogError> {
        let args = vec![node.as_str().into(), if beats { "1" } else { "0" }.into()];
        let answer = self.shards.run(&self.heartbeat, vec![self.names.shared(NODES)], args).await?;
        let (clock, counters): (u64, HashMap<String, u64>) = answer.convert()?;
        // A text that is none of our ids names none of our nodes.
        let nodes =
            counters.into_iter().filter_map(|(node, count)| Some((node.parse().ok()?, count)));
        Ok(Heartbeats { clock: Duration::from_micros(clock), counters: nodes.collect() })
    }

    /// Looks at what an answer to a heartbeat says of the connections.
    fn diagnose(&self, error: &LogError) {
        rejected::log(error, &self.rejections);
        if let LogError::WriteRefused(words) = error
            && refusal::is_of_replica(words)
        {
            for shard in self.shards.all() {
                shard.commands.misdirected();
                shard.subscriptions.misdirected();
            }
        }
    }

    async fn remove(&self, nodes: &[NodeId]) -> Result<(), LogError> {
        let nodes: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
        for key in [NODES, LOADS] {
            let key = self.names.shared(key);
            let (client, in_use) = self.client_of(&key)?;
            let _: u64 = in_use.answer(client.hdel(key, nodes.clone())).await?;
        }
        Ok(())
    }

    async fn write_load(&self, node: &NodeId, load: &Load) -> Result<(), LogError> {
        let text = serde_json::to_string(load).expect("texts and numbers serialize");
        let key = self.names.shared(LOADS);
        let (client, in_use) = self.client_of(&key)?;
        let _: u64 = in_use.answer(client.hset(key, (node.as_str(), text))).await?;
        Ok(())
    }

    async fn read_loads(&self) -> Result<Vec<(NodeId, Load)>, LogError> {
        let key = self.names.shared(LOADS);
        let (client, in_use) = self.client_of(&key)?;
        let loads: HashMap<String, String> = in_use.answer(client.hgetall(key)).await?;
        // Loads that another version wrote in another form are left out.
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
    ) -> BoxFuture<'a, Result<Heartbeats, LogError>> {
        Box::pin(async move {
            let heartbeats = self.beat(node, beats).await;
            if let Err(error) = &heartbeats {
                self.diagnose(error);
            }
            heartbeats
        })
    }

    fn trouble(&self) -> Option<Trouble> {
        let shards = self.shards.all();
        let silent = |are_silent: fn(&Shard) -> bool| -> BTreeSet<String> {
            let silent = shards.iter().filter(|shard| are_silent(shard));
            silent.map(|shard| shard.server.to_string()).collect()
        };
        let unanswered = silent(|shard| shard.commands.is_silent());
        let unheard = silent(|shard| shard.subscriptions.is_silent());
        if unanswered.len() == shards.len() {
            return Some(Trouble::CutOff("no answer for a lease".to_owned()));
        }
        if unheard.len() == shards.len() {
            return Some(Trouble::Deaf("no answer for a lease".to_owned()));
        }
        let part: Vec<_> = unanswered.union(&unheard).map(String::as_str).collect();
        if !part.is_empty() {
            return Some(Trouble::Partial(part.join(", ")));
        }
        let lasts = self.hub.deaf_since().is_some_and(|since| since.elapsed() >= self.lease);
        lasts.then(|| Trouble::Deaf("rooms could not be subscribed for a lease".to_owned()))
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
        Box::pin(self.remove(nodes))
    }

    fn reconnects(&self) -> watch::Receiver<u64> {
        self.reconnects.subscribe()
    }
}
