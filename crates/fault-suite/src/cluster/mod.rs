//! Three nodes and a Redis as child processes, with a proxy in every connection.

mod clock;
mod credentials;
mod node;
mod process;
mod redis_client;
mod redis_server;
mod shards;
mod throttle;

pub use clock::SteppedClock;
pub use credentials::CredentialService;
pub use node::{Metrics, Node, is_ready};
pub use process::{ProcessError, find_node_binary};
pub use redis_server::{Persistence, RedisServer, Refusal};
pub use shards::Shards;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::proxy::Proxy;

/// How many nodes a cluster has.
pub const NODES: usize = 3;

/// The key that tokens are signed with.
pub const SECRET: &str = "fault-suite-fault-suite-fault-suite!";

/// How a cluster is set up.
#[expect(missing_docs, reason = "the names say it all")]
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
    pub log: String,
    /// Whether the nodes use a Redis Cluster, without proxies in between, and not the one Redis.
    pub is_sharded: bool,
    /// Whether nodes ask a credential service for ICE servers.
    pub has_credentials: bool,
    /// Further settings of the nodes, without their prefix.
    pub extra: Vec<(String, String)>,
}

/// A running cluster; all of its processes end with this value.
#[expect(missing_docs, reason = "the names say it all")]
pub struct Cluster {
    /// The Redis that is written to.
    pub redis: RedisServer,
    /// The Redis Cluster that the nodes use instead, if they do.
    pub shards: Option<Shards>,
    /// The credential service that the nodes ask, if they do.
    pub credentials: Option<CredentialService>,
    /// The clock of Redis.
    pub clock: SteppedClock,
    pub nodes: Vec<Node>,
    /// Between each node and Redis.
    pub redis_links: Vec<Proxy>,
    /// Between clients and each node.
    pub client_links: Vec<Proxy>,
    /// The Redis that was written to before a failover.
    demoted: Option<RedisServer>,
    /// The replica of a primary that was lost, until it is promoted.
    replica: Option<RedisServer>,
    settings: ClusterSettings,
    /// How many failovers there were.
    failovers: usize,
}

impl Cluster {
    /// Starts Redis, then the nodes.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn start(settings: &ClusterSettings) -> Result<Self, ProcessError> {
        let clock = SteppedClock::build(&settings.folder)?;
        let (folder, persistence) = (settings.folder.join("redis"), settings.persistence);
        let redis = RedisServer::start(folder, persistence, clock.clone()).await?;
        let mut settings = settings.clone();
        let mut shards = None;
        if settings.is_sharded {
            let started = Shards::start(&settings.folder, &clock).await?;
            settings.extra.push(("REDIS_URL".to_owned(), started.url()));
            shards = Some(started);
        }
        let mut credentials = None;
        if settings.has_credentials {
            let started = CredentialService::start(&settings.binary, &settings.folder).await?;
            settings.extra.push(("CREDENTIALS_URL".to_owned(), started.url()));
            credentials = Some(started);
        }
        let mut cluster = Self {
            redis,
            shards,
            credentials,
            clock,
            nodes: Vec::new(),
            redis_links: Vec::new(),
            client_links: Vec::new(),
            demoted: None,
            replica: None,
            settings,
            failovers: 0,
        };
        for index in 0..NODES {
            cluster.add_node(index).await?;
        }
        Ok(cluster)
    }

    /// Hands the role of Redis to a new replica, to which the address of Redis leads from then on. The old primary stays
    /// as a replica, with the connections it has.
    ///
    /// # Errors
    /// When the replica does not start or does not take over.
    pub async fn fail_over(&mut self) -> Result<(), ProcessError> {
        let replica = self.start_replica().await?;
        self.redis.fail_over_to(&replica).await?;
        self.demoted = Some(self.lead_to(replica));
        Ok(())
    }

    /// Starts a replica of Redis, and ends Redis without notice. Its address leads to nothing from then on.
    ///
    /// # Errors
    /// When the replica does not start.
    pub async fn lose_primary(&mut self) -> Result<(), ProcessError> {
        let replica = self.start_replica().await?;
        self.redis.kill().await?;
        self.replica = Some(replica);
        Ok(())
    }

    /// Promotes the replica of [`Cluster::lose_primary`], to which the address of Redis leads from then on.
    ///
    /// # Errors
    /// When it does not take over.
    pub async fn promote_replica(&mut self) -> Result<(), ProcessError> {
        let Some(replica) = self.replica.take() else { return Ok(()) };
        replica.promote().await?;
        drop(self.lead_to(replica));
        Ok(())
    }

    async fn start_replica(&mut self) -> Result<RedisServer, ProcessError> {
        self.failovers += 1;
        let folder = self.settings.folder.join(format!("redis-{}", self.failovers));
        let (persistence, clock) = (self.settings.persistence, self.clock.clone());
        let replica = RedisServer::start(folder, persistence, clock).await?;
        replica.follow(self.redis.address()).await?;
        Ok(replica)
    }

    /// Makes this the Redis that is written to, and returns the one before.
    fn lead_to(&mut self, replica: RedisServer) -> RedisServer {
        for link in &self.redis_links {
            link.lead_to(replica.address());
        }
        std::mem::replace(&mut self.redis, replica)
    }

    /// Ends the Redis that was written to before a failover.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn end_demoted(&mut self) -> Result<(), ProcessError> {
        match self.demoted.take() {
            Some(mut redis) => redis.kill().await,
            None => Ok(()),
        }
    }

    /// The Redis Cluster.
    ///
    /// # Errors
    /// When the nodes use none.
    pub fn shards_mut(&mut self) -> Result<&mut Shards, ProcessError> {
        let missing = || ProcessError::Command("be a cluster".to_owned(), "it is none".to_owned());
        self.shards.as_mut().ok_or_else(missing)
    }

    /// The keys of Redis that never end.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn endless_keys(&self) -> Result<Vec<String>, ProcessError> {
        match &self.shards {
            Some(shards) => shards.endless_keys().await,
            None => self.redis.endless_keys().await,
        }
    }

    /// The resident memory of each process of ours, in bytes.
    #[must_use]
    pub fn resident(&self) -> Vec<(Box<str>, u64)> {
        let nodes = self.nodes.iter().map(Node::resident).enumerate();
        let nodes = nodes.map(|(number, bytes)| (format!("node-{number}"), bytes));
        let service = self.credentials.iter().map(CredentialService::resident);
        let all = nodes.chain(service.map(|bytes| ("credentials".to_owned(), bytes)));
        all.filter_map(|(process, bytes)| Some((process.into_boxed_str(), bytes?))).collect()
    }

    async fn add_node(&mut self, index: usize) -> Result<(), ProcessError> {
        let link = Proxy::start(self.redis.address()).await?;
        let node = Node::start(&self.settings, index, link.address()).await?;
        self.client_links.push(Proxy::start(node.address()).await?);
        self.redis_links.push(link);
        self.nodes.push(node);
        Ok(())
    }

    /// Where clients connect to each node.
    #[must_use]
    pub fn proxy_addresses(&self) -> Vec<SocketAddr> {
        self.client_links.iter().map(Proxy::address).collect()
    }
}

/// Where the log of a process goes.
fn log_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}
