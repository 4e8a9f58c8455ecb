//! The heartbeats of the nodes: one hash, one counter each.

use std::collections::HashMap;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{EventInterface as _, HashesInterface as _};
use futures_util::future::BoxFuture;
use signal_protocol::NodeId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::probes::Reach;
use super::{RedisLog, refusal, rejected};
use crate::log::{HeartbeatStore, Heartbeats, Load, LogError, Trouble};

/// Node id → how often its heart has beaten.
const NODES: &str = "nodes";

/// Node id → what it carries, as JSON.
const LOADS: &str = "loads";

/// Raises a counter and reads all of them, by the clock of the server that does it.
pub(super) const SCRIPT: &str = include_str!("heartbeat.lua");

/// Counts how often a connection was made again, by fred or by the watchdog.
pub(super) async fn count_reconnects(
    mut clients: watch::Receiver<Client>,
    reconnects: watch::Sender<u64>,
) {
    loop {
        let mut connected = clients.borrow_and_update().reconnect_rx();
        let replaced = loop {
            tokio::select! {
                server = connected.recv() => match server {
                    Ok(_) | Err(RecvError::Lagged(_)) => reconnects.send_modify(|count| *count += 1),
                    Err(RecvError::Closed) => break clients.changed().await,
                },
                replaced = clients.changed() => break replaced,
            }
        };
        if replaced.is_err() {
            return;
        }
        reconnects.send_modify(|count| *count += 1);
    }
}

impl RedisLog {
    async fn beat(&self, node: &NodeId, beats: bool) -> Result<Heartbeats, LogError> {
        let args = vec![node.as_str(), if beats { "1" } else { "0" }];
        let (client, in_use) = self.commands.in_use();
        let answer =
            self.heartbeat.evalsha_with_reload(&client, vec![self.names.shared(NODES)], args);
        let (clock, counters): (u64, HashMap<String, u64>) = in_use.answer(answer).await?;
        // What is not one of our ids is not one of our nodes.
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
            self.commands.misdirected();
            self.hub.connection().misdirected();
        }
    }

    fn trouble_now(&self) -> Option<Trouble> {
        match (self.commands.reach(), self.hub.connection().reach()) {
            (Reach::Nothing, _) => Some(Trouble::CutOff("no answer for a lease".to_owned())),
            (_, Reach::Nothing) => Some(Trouble::Deaf("no answer for a lease".to_owned())),
            (Reach::Part(silent), _) | (_, Reach::Part(silent)) => {
                Some(Trouble::Partial(silent.join(", ")))
            }
            (Reach::Whole, Reach::Whole) => self.hub.deaf_since().and_then(|since| {
                let lasts = since.elapsed() >= self.lease;
                lasts.then(|| Trouble::Deaf("rooms could not be subscribed for a lease".to_owned()))
            }),
        }
    }

    async fn strike(&self, nodes: &[NodeId]) -> Result<(), LogError> {
        let nodes: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
        let _: u64 = self.commands().hdel(self.names.shared(NODES), nodes.clone()).await?;
        let _: u64 = self.commands().hdel(self.names.shared(LOADS), nodes).await?;
        Ok(())
    }

    async fn write_load(&self, node: &NodeId, load: &Load) -> Result<(), LogError> {
        let text = serde_json::to_string(load).expect("texts and numbers serialize");
        let _: u64 = self.commands().hset(self.names.shared(LOADS), (node.as_str(), text)).await?;
        Ok(())
    }

    async fn read_loads(&self) -> Result<Vec<(NodeId, Load)>, LogError> {
        let loads: HashMap<String, String> =
            self.commands().hgetall(self.names.shared(LOADS)).await?;
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
        self.trouble_now()
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
