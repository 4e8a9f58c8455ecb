//! Three nodes and a Redis as child processes, with a proxy in every connection.

mod node;
mod process;
mod redis_server;

pub use node::{Metrics, Node};
pub use process::{ProcessError, find_node_binary};
pub use redis_server::{Persistence, RedisServer};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::proxy::Proxy;

/// How many nodes a cluster has.
pub const NODES: usize = 3;

/// The key that tokens are signed with.
pub const SECRET: &str = "fault-suite-fault-suite-fault-suite!";

/// How a cluster is set up.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The program of the nodes.
    pub binary: PathBuf,
    /// Where logs and data go.
    pub folder: PathBuf,
    /// What Redis writes to disk.
    pub persistence: Persistence,
    /// A node silent for this long is suspected.
    pub lease: Duration,
    /// How long a lost socket may come back as the same member.
    pub grace: Duration,
    /// How often a silent socket is pinged.
    pub ping: Duration,
    /// Members of a room.
    pub capacity: usize,
    /// What nodes log.
    pub log: String,
    /// Further settings of the nodes, without their prefix.
    pub extra: Vec<(String, String)>,
}

/// A running cluster; all of its processes end with this value.
pub struct Cluster {
    /// The one Redis.
    pub redis: RedisServer,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Between each node and Redis.
    pub redis_links: Vec<Proxy>,
    /// Between clients and each node.
    pub client_links: Vec<Proxy>,
}

impl Cluster {
    /// Starts Redis, then the nodes.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn start(settings: &ClusterSettings) -> Result<Self, ProcessError> {
        let redis = RedisServer::start(&settings.folder, settings.persistence).await?;
        let mut cluster =
            Self { redis, nodes: Vec::new(), redis_links: Vec::new(), client_links: Vec::new() };
        for index in 0..NODES {
            cluster.add_node(settings, index).await?;
        }
        Ok(cluster)
    }

    async fn add_node(
        &mut self,
        settings: &ClusterSettings,
        index: usize,
    ) -> Result<(), ProcessError> {
        let link = Proxy::start(self.redis.address()).await?;
        let node = Node::start(settings, index, link.address()).await?;
        self.client_links.push(Proxy::start(node.address()).await?);
        self.redis_links.push(link);
        self.nodes.push(node);
        Ok(())
    }

    /// Where clients connect to each node.
    #[must_use]
    pub fn doors(&self) -> Vec<SocketAddr> {
        self.client_links.iter().map(Proxy::address).collect()
    }
}

/// Where the log of a process goes.
fn log_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}
