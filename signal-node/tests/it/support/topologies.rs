//! Redis with more than one server: a cluster of three masters and three replicas, and a master that
//! sentinels watch.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::polling::becomes_true;
use super::process::send;
use super::redis::{ask, free_port, serve};

/// How long servers may take to agree; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How soon servers give up on one that is silent, in ms.
const SILENCE: &str = "1500";

/// One server of many.
struct Server {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl Server {
    async fn start(arguments: &[&str]) -> Self {
        let arguments = [arguments, &["--repl-diskless-sync-delay", "0"]].concat();
        for _ in 0..5 {
            let (port, folder) = (free_port(), tempfile::tempdir().expect("a temporary folder"));
            if let Some(process) = serve(port, folder.path(), &arguments).await {
                return Self { port, process, _folder: folder };
            }
        }
        panic!("redis-server did not start on any of five ports");
    }

    async fn require_password(&self, password: &str) {
        assert_eq!(self.says(&["CONFIG", "SET", "masterauth", password]).await, "OK");
        assert_eq!(self.says(&["CONFIG", "SET", "requirepass", password]).await, "OK");
    }

    async fn says(&self, words: &[&str]) -> String {
        let told: Option<String> = ask(self.port, words).await.ok();
        told.unwrap_or_default()
    }
}

/// Waits until the servers agree.
async fn agreed(what: &str, asked: impl AsyncFnMut() -> bool) {
    becomes_true(what, PATIENCE, asked).await;
}

/// Three masters with a replica each.
pub(crate) struct TestCluster {
    servers: Vec<Server>,
}

impl TestCluster {
    pub(crate) async fn start() -> Self {
        let mut servers = Vec::new();
        for _ in 0..6 {
            let bus = free_port().to_string();
            let on = ["--cluster-enabled", "yes", "--cluster-node-timeout", SILENCE];
            servers.push(Server::start(&[&on[..], &["--cluster-port", &bus]].concat()).await);
        }
        let addresses = servers.iter().map(|server| format!("127.0.0.1:{}", server.port));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .await
            .expect("redis-cli is needed: apt-get install redis-tools");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        let cluster = Self { servers };
        cluster.settled(3).await;
        cluster
    }

    /// Waits until every server finds the cluster whole, with that many replicas in step.
    async fn settled(&self, replicas: usize) {
        agreed("the cluster is whole", async || {
            let mut in_step = 0;
            for server in &self.servers {
                let state = server.says(&["CLUSTER", "INFO"]).await;
                if !state.is_empty() && !state.contains("cluster_state:ok") {
                    return false;
                }
                let role = server.says(&["INFO", "replication"]).await;
                in_step += usize::from(role.contains("master_link_status:up"));
            }
            in_step >= replicas
        })
        .await;
    }

    pub(crate) fn url(&self) -> String {
        let others =
            self.servers[1..].iter().map(|server| format!("node=127.0.0.1:{}", server.port));
        let others = others.collect::<Vec<_>>().join("&");
        format!("redis-cluster://127.0.0.1:{}?{others}", self.servers[0].port)
    }

    /// Asks everybody who comes from now on for a password, each other included.
    pub(crate) async fn require_password(&self, password: &str) {
        for server in &self.servers {
            server.require_password(password).await;
        }
    }

    /// Finds the master that holds a room.
    async fn master(&self, room: &str) -> usize {
        let key = format!("{{{room}}}:h");
        for (index, server) in self.servers.iter().enumerate() {
            let role = server.says(&["INFO", "replication"]).await;
            let held: Result<i64, _> = ask(server.port, &["EXISTS", &key]).await;
            if role.contains("role:master") && held.is_ok_and(|held| held == 1) {
                return index;
            }
        }
        panic!("no master holds {key}");
    }

    /// Kills the master that holds a room, and waits until its replica has taken its place.
    pub(crate) async fn fail_over(&mut self, room: &str) {
        let index = self.master(room).await;
        let mut dead = self.servers.remove(index);
        dead.process.kill().await.expect("it ran");
        self.settled(2).await;
        agreed("a replica has become master", async || {
            let mut masters = 0;
            for server in &self.servers {
                let role = server.says(&["INFO", "replication"]).await;
                masters += usize::from(role.contains("role:master"));
            }
            masters == 3
        })
        .await;
    }

    /// Moves the slot of a room to another master, with its keys.
    pub(crate) async fn migrate(&self, room: &str) {
        self.begin_to_migrate(room).await.finish().await;
    }

    /// Begins to move the slot of a room: both masters know it, and no key has moved yet.
    pub(crate) async fn begin_to_migrate(&self, room: &str) -> Migration<'_> {
        let from = &self.servers[self.master(room).await];
        let slot: i64 =
            ask(from.port, &["CLUSTER", "KEYSLOT", &format!("{{{room}}}:h")]).await.unwrap();
        let slot = slot.to_string();
        let to = self.another_master(from.port).await;
        let (from_id, to_id) =
            (from.says(&["CLUSTER", "MYID"]).await, to.says(&["CLUSTER", "MYID"]).await);
        to.says(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
        from.says(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
        Migration { from, to, to_id, slot }
    }

    /// Sends a signal such as `STOP` to the master that holds a room and to its replica, and lets the others serve the
    /// other slots.
    pub(crate) async fn end_the_shard_of(&self, room: &str, signal: &str) {
        let covers = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
        for server in &self.servers {
            assert_eq!(server.says(&covers).await, "OK");
        }
        let index = self.master(room).await;
        let id = self.servers[index].says(&["CLUSTER", "MYID"]).await;
        let mut replica = None;
        agreed("the master knows its replica", async || {
            let replicas: Vec<String> =
                ask(self.servers[index].port, &["CLUSTER", "REPLICAS", &id]).await.unwrap();
            let of_shard = |server: &Server| {
                let address = format!("127.0.0.1:{}@", server.port);
                replicas.iter().any(|line| line.contains(&address))
            };
            replica = self.servers.iter().position(of_shard);
            replica.is_some()
        })
        .await;
        // The replica first: it would take its master's place.
        for index in replica.into_iter().chain([index]) {
            send(self.servers[index].process.id().expect("it runs"), signal);
        }
    }

    /// Finds a room that lies on another shard than this key.
    pub(crate) async fn room_elsewhere(&self, key: &str) -> String {
        let nodes: Vec<Vec<redis::Value>> =
            ask(self.servers[0].port, &["CLUSTER", "SLOTS"]).await.unwrap();
        let ranges: Vec<(i64, i64)> = nodes
            .iter()
            .map(|range| {
                let number = |at: usize| redis::from_redis_value_ref(&range[at]).expect("a slot");
                (number(0), number(1))
            })
            .collect();
        let shard = async |key: &str| {
            let slot: i64 = ask(self.servers[0].port, &["CLUSTER", "KEYSLOT", key]).await.unwrap();
            ranges.iter().position(|(first, last)| (*first..=*last).contains(&slot))
        };
        let own = shard(key).await;
        for number in 0.. {
            let room = format!("room-{number}");
            if shard(&room).await != own {
                return room;
            }
        }
        unreachable!("a third of all names lies elsewhere")
    }

    async fn another_master(&self, but: u16) -> &Server {
        for server in self.servers.iter().filter(|server| server.port != but) {
            if server.says(&["INFO", "replication"]).await.contains("role:master") {
                return server;
            }
        }
        panic!("there is no other master");
    }
}

/// A slot that is being moved.
pub(crate) struct Migration<'a> {
    from: &'a Server,
    to: &'a Server,
    to_id: String,
    slot: String,
}

impl Migration<'_> {
    /// Moves the keys, and not the slot: the old master answers `-ASK` for them.
    pub(crate) async fn move_keys(&self) {
        let Self { from, to, slot, .. } = self;
        loop {
            let keys: Vec<String> =
                ask(from.port, &["CLUSTER", "GETKEYSINSLOT", slot, "100"]).await.unwrap();
            if keys.is_empty() {
                break;
            }
            let port = to.port.to_string();
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.iter().map(String::as_str));
            assert_eq!(from.says(&migrate).await, "OK");
        }
    }

    /// Moves what is left of the keys, and then the slot.
    pub(crate) async fn finish(self) {
        self.move_keys().await;
        let Self { from, to, to_id, slot } = self;
        for server in [to, from] {
            assert_eq!(server.says(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await, "OK");
        }
    }
}

/// A master, its replica, and three sentinels that watch them.
pub(crate) struct TestSentinels {
    sentinels: Vec<Server>,
    replica: Server,
    master: Server,
}

impl TestSentinels {
    pub(crate) async fn start() -> Self {
        let master = Server::start(&[]).await;
        let of = format!("127.0.0.1 {}", master.port);
        let replica = Server::start(&["--replicaof", &of]).await;
        agreed("the replica is in step", async || {
            replica.says(&["INFO", "replication"]).await.contains("master_link_status:up")
        })
        .await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(sentinel(master.port).await);
        }
        let whole = Self { sentinels, replica, master };
        agreed("the sentinels know of each other", async || {
            let mut known = 0;
            for sentinel in &whole.sentinels {
                let told = sentinel.says(&["INFO", "sentinel"]).await;
                known += usize::from(told.contains("slaves=1,sentinels=3"));
            }
            known == 3
        })
        .await;
        whole
    }

    pub(crate) fn url(&self) -> String {
        let [first, second, third] = &self.sentinels[..] else { unreachable!("there are three") };
        format!(
            "redis-sentinel://127.0.0.1:{}?sentinelServiceName=rooms&node=127.0.0.1:{}&node=127.0.0.1:{}",
            first.port, second.port, third.port
        )
    }

    /// Asks everybody who comes from now on for a password, the Sentinels too.
    pub(crate) async fn require_password(&self, password: &str) {
        for sentinel in &self.sentinels {
            sentinel.says(&["SENTINEL", "SET", "rooms", "auth-pass", password]).await;
            sentinel.says(&["SENTINEL", "CONFIG", "SET", "sentinel-pass", password]).await;
            sentinel
                .says(&["ACL", "SETUSER", "default", "on", "resetpass", &format!(">{password}")])
                .await;
        }
        self.replica.require_password(password).await;
        self.master.require_password(password).await;
    }

    /// Kills the master, and waits until the replica has taken its place.
    pub(crate) async fn fail_over(&mut self) {
        self.master.process.kill().await.expect("it ran");
        agreed("the replica has become master", async || {
            self.replica.says(&["INFO", "replication"]).await.contains("role:master")
        })
        .await;
    }
}

/// Starts a sentinel; it keeps what it learns in its configuration file.
async fn sentinel(master: u16) -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port();
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor rooms 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds rooms {SILENCE}\nsentinel failover-timeout rooms 5000\n"
    );
    let file = folder.path().join("sentinel.conf");
    std::fs::write(&file, text).expect("a file");
    let process = run_sentinel(&file);
    let server = Server { port, process, _folder: folder };
    agreed("the sentinel answers", async || server.says(&["PING"]).await == "PONG").await;
    server
}

fn run_sentinel(file: &Path) -> Child {
    Command::new("redis-server")
        .arg(file)
        .arg("--sentinel")
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server is needed: apt-get install redis-server")
}
