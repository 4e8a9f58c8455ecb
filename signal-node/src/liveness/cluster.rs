//! The nodes as one looks at them from outside: who there is, and what each carries.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use signal_protocol::NodeId;
use utoipa::ToSchema;

use super::Liveness;
use super::load::own_load;
use crate::log::{HeartbeatStore, Load, LogError};
use crate::metrics::Metrics;

/// A node and its load as of its last heartbeat.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NodeState {
    #[schema(value_type = String, example = "n_5f3c0a9d1b2e")]
    id: NodeId,
    /// Whether its heartbeat has stopped.
    silent: bool,
    #[serde(flatten)]
    load: Load,
}

/// Looks at all nodes.
#[expect(missing_docs, reason = "the names say it all")]
pub struct Cluster {
    pub own: NodeId,
    /// Which nodes are silent.
    pub liveness: Arc<Liveness>,
    /// Where they say what they carry.
    pub heartbeats: Arc<dyn HeartbeatStore>,
    /// What this node counts.
    pub metrics: Arc<Metrics>,
}

impl Cluster {
    /// Lists the nodes by their ids.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn nodes(&self) -> Result<Vec<NodeState>, LogError> {
        let mut loads: BTreeMap<NodeId, Load> =
            self.heartbeats.loads().await?.into_iter().collect();
        loads.insert(self.own.clone(), own_load(&self.metrics));
        let silent = self.liveness.silent();
        let state = |(id, load)| {
            let silent = silent.iter().any(|silent| silent.node == id);
            NodeState { id, silent, load }
        };
        Ok(loads.into_iter().map(state).collect())
    }
}
