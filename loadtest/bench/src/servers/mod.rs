//! The servers that are measured: real processes, all bound to the first core.

pub(crate) mod echo_server;
mod floor_server;
mod peers;
mod process;
mod signal;
mod store;

use std::net::SocketAddr;
use std::path::Path;

pub(crate) use process::{Cost, Process, slab};
pub(crate) use signal::{SECRET, signal_node};
pub(crate) use store::{Redis, RedisCluster};

use crate::client::Dialect;
use crate::problem::Problem;

/// What is measured: a server, and how many processes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Our nodes, whose rooms are in Redis.
    Signal,
    /// Socket.IO, whose nodes reach each other through Redis.
    SocketIo,
    /// `PeerJS` server, which knows one process.
    PeerJs,
    /// `matchbox_server`, which knows one process.
    Matchbox,
    /// Bare TCP, one process.
    Floor,
}

impl Subject {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Signal, Self::SocketIo, Self::PeerJs, Self::Matchbox, Self::Floor];

    /// How it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal-node",
            Self::SocketIo => "socket.io",
            Self::PeerJs => "PeerJS",
            Self::Matchbox => "matchbox",
            Self::Floor => "bare TCP",
        }
    }

    /// How its clients talk.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Signal => Dialect::Signal,
            Self::SocketIo => Dialect::SocketIo,
            Self::PeerJs => Dialect::PeerJs,
            Self::Matchbox => Dialect::Matchbox,
            Self::Floor => Dialect::Floor,
        }
    }

    /// How many processes of it can serve one room.
    pub(crate) fn nodes(self) -> usize {
        match self {
            Self::Signal | Self::SocketIo => 2,
            Self::PeerJs | Self::Matchbox | Self::Floor => 1,
        }
    }
}

/// What the nodes of a fleet share.
pub(crate) enum Store {
    Nothing,
    Redis(Box<Redis>),
    Cluster(RedisCluster),
}

impl Store {
    fn url(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Redis(redis) => redis.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// Seconds on a core so far.
    pub(crate) fn cpu(&self) -> Result<f64, Problem> {
        match self {
            Self::Nothing => Ok(0.0),
            Self::Redis(redis) => Ok(redis.cost()?.cpu),
            Self::Cluster(cluster) => cluster.cpu(),
        }
    }
}

/// Running servers of one kind, with what is between them.
pub(crate) struct Fleet {
    pub(crate) subject: Subject,
    pub(crate) nodes: Vec<Process>,
    pub(crate) store: Store,
}

/// Where the programs are that are measured.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The release binary of the node.
    pub(crate) signal_node: std::path::PathBuf,
    /// The folder of the thin servers, with their packages installed.
    pub(crate) peers: std::path::PathBuf,
    /// `matchbox_server`, where there is one.
    pub(crate) matchbox: Option<std::path::PathBuf>,
}

impl Programs {
    /// Tells whether a subject can be started here.
    pub(crate) fn can(&self, subject: Subject) -> bool {
        match subject {
            Subject::Matchbox => self.matchbox.is_some(),
            Subject::Signal | Subject::SocketIo | Subject::PeerJs | Subject::Floor => true,
        }
    }
}

impl Fleet {
    /// Starts `count` processes of a kind, with a Redis where they need one.
    pub(crate) async fn start(
        subject: Subject,
        count: usize,
        programs: &Programs,
    ) -> Result<Self, Problem> {
        let store = match subject {
            Subject::Signal | Subject::SocketIo => Store::Redis(Box::new(Redis::start().await?)),
            Subject::PeerJs | Subject::Matchbox | Subject::Floor => Store::Nothing,
        };
        let url = store.url();
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(node(subject, &url, programs).await?);
        }
        Ok(Self { subject, nodes, store })
    }

    /// Starts `count` of our nodes over a store, with further settings.
    pub(crate) async fn signal(
        count: usize,
        store: Store,
        programs: &Programs,
        extra: &[(&str, &str)],
    ) -> Result<Self, Problem> {
        let url = store.url();
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(signal_node(&programs.signal_node, &url, extra).await?);
        }
        Ok(Self { subject: Subject::Signal, nodes, store })
    }

    /// Where node `index` serves clients; indices go round.
    pub(crate) fn address_of(&self, index: usize) -> SocketAddr {
        self.nodes[index % self.nodes.len()].address()
    }

    /// What the nodes and Redis have cost so far.
    pub(crate) fn cost(&self) -> Result<FleetCost, Problem> {
        let nodes: Result<f64, Problem> = self.nodes.iter().map(|node| Ok(node.cost()?.cpu)).sum();
        Ok(FleetCost { nodes: nodes?, redis: self.store.cpu()? })
    }
}

/// Seconds on a core.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FleetCost {
    pub(crate) nodes: f64,
    pub(crate) redis: f64,
}

async fn node(subject: Subject, redis: &str, programs: &Programs) -> Result<Process, Problem> {
    match subject {
        Subject::Signal => signal_node(&programs.signal_node, redis, &[]).await,
        Subject::SocketIo => peers::socket_io(&programs.peers, redis).await,
        Subject::PeerJs => peers::peer_js(&programs.peers).await,
        Subject::Matchbox => {
            let program =
                programs.matchbox.as_deref().unwrap_or_else(|| Path::new("matchbox_server"));
            peers::matchbox(program).await
        }
        Subject::Floor => floor_server::start().await,
    }
}
