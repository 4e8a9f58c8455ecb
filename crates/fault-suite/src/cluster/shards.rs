//! A Redis Cluster of three masters with a replica each, whose slots move and whose masters refuse writes or die.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::process::{PATIENCE, ProcessError};
use super::redis_server::free_port;
use super::{Persistence, RedisServer, Refusal, SteppedClock, redis_client};

/// Masters, and as many replicas.
const MASTERS: usize = 3;
/// How soon servers give up on one that is silent, in ms.
const SILENCE: &str = "1500";
/// How long a slot stays between two masters, before and after half of its keys have moved.
const BETWEEN: Duration = Duration::from_millis(300);
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The task that moves slots.
struct Moving {
    stop: watch::Sender<bool>,
    ended: JoinHandle<Result<(), ProcessError>>,
}

/// A running cluster; its servers end with this value.
pub struct Shards {
    servers: Vec<RedisServer>,
    /// Moves slots until it is told to stop.
    moving: Option<Moving>,
    /// The master that refuses writes or is dead.
    affected: Option<usize>,
}

impl Shards {
    /// Starts it.
    ///
    /// # Errors
    /// When a server does not start, or they do not agree.
    pub async fn start(folder: &Path, clock: &SteppedClock) -> Result<Self, ProcessError> {
        let mut servers = Vec::new();
        for number in 0..2 * MASTERS {
            let bus = free_port()?.port().to_string();
            let options = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                SILENCE,
                "--cluster-port",
                &bus,
            ];
            let options = options.map(str::to_owned).to_vec();
            let folder = folder.join(format!("shard-{number}"));
            let started =
                RedisServer::start_with(folder, Persistence::AppendOnly, clock.clone(), options);
            servers.push(started.await?);
        }
        let shards = Self { servers, moving: None, affected: None };
        shards.create().await?;
        shards.settled().await?;
        Ok(shards)
    }

    async fn create(&self) -> Result<(), ProcessError> {
        let addresses = self.servers.iter().map(|server| server.address().to_string());
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]).args(addresses);
        command.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let created = command.output().await?;
        let printed = || String::from_utf8_lossy(&created.stdout).into_owned();
        let failed = || ProcessError::Command("--cluster create".to_owned(), printed());
        created.status.success().then_some(()).ok_or_else(failed)
    }

    /// The setting by which a node reaches it.
    #[must_use]
    pub fn url(&self) -> String {
        let others: Vec<_> =
            self.servers[1..].iter().map(|it| format!("node={}", it.address())).collect();
        format!("redis-cluster://{}?{}", self.servers[0].address(), others.join("&"))
    }

    /// Waits until every server finds the cluster whole, and every replica is in step.
    async fn settled(&self) -> Result<(), ProcessError> {
        let begun = Instant::now();
        loop {
            let mut in_step = 0;
            let mut whole = 0;
            for server in &self.servers {
                let state: String = server.ask(&["CLUSTER", "INFO"]).await?;
                let role: String = server.ask(&["INFO", "replication"]).await?;
                whole += usize::from(state.contains("cluster_state:ok"));
                in_step += usize::from(role.contains("master_link_status:up"));
            }
            if whole == 2 * MASTERS && in_step == MASTERS {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let what = format!("{whole} servers find it whole, {in_step} replicas are in step");
                return Err(ProcessError::Command("form a cluster".to_owned(), what));
            }
            sleep(ASK_EVERY).await;
        }
    }

    async fn masters(&self) -> Result<Vec<usize>, ProcessError> {
        let mut masters = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            let role: String = server.ask(&["INFO", "replication"]).await?;
            if role.contains("role:master") {
                masters.push(index);
            }
        }
        Ok(masters)
    }

    /// Moves the slots of these rooms from master to master, one after the other, until [`Shards::stop_moving`].
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn start_moving(&mut self, rooms: u32) -> Result<(), ProcessError> {
        let masters = self.masters().await?;
        let masters: Vec<_> = masters.iter().map(|index| self.servers[*index].address()).collect();
        let (stop, stopped) = watch::channel(false);
        let ended = tokio::spawn(async move {
            for room in (0..rooms).cycle().take_while(|_| !*stopped.borrow()) {
                move_slot(&masters, room).await?;
            }
            Ok(())
        });
        self.moving = Some(Moving { stop, ended });
        Ok(())
    }

    /// Stops after the slot that is on the move.
    ///
    /// # Errors
    /// When a move failed.
    pub async fn stop_moving(&mut self) -> Result<(), ProcessError> {
        let Some(Moving { stop, ended }) = self.moving.take() else { return Ok(()) };
        stop.send_replace(true);
        ended.await.expect("moving slots does not panic")?;
        self.settled().await
    }

    /// Has a master refuse writes.
    ///
    /// # Errors
    /// When it does not do as told.
    pub async fn refuse_writes(&mut self) -> Result<(), ProcessError> {
        let master = self.masters().await?[0];
        self.affected = Some(master);
        self.servers[master].refuse_writes(Refusal::TooFewReplicas, true).await
    }

    /// Has it accept them again.
    ///
    /// # Errors
    /// When it does not do as told.
    pub async fn accept_writes(&mut self) -> Result<(), ProcessError> {
        let Some(master) = self.affected.take() else { return Ok(()) };
        self.servers[master].refuse_writes(Refusal::TooFewReplicas, false).await
    }

    /// Kills a master. Its replica takes its place.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn lose_master(&mut self) -> Result<(), ProcessError> {
        let master = self.masters().await?[0];
        self.affected = Some(master);
        self.servers[master].kill().await
    }

    /// Starts the master that was killed; it becomes the replica of the one in its place.
    ///
    /// # Errors
    /// When it does not start, or the cluster does not become whole.
    pub async fn restart_master(&mut self) -> Result<(), ProcessError> {
        let Some(master) = self.affected.take() else { return Ok(()) };
        self.servers[master].restart().await?;
        self.settled().await
    }

    /// The keys that never end.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn endless_keys(&self) -> Result<Vec<String>, ProcessError> {
        let mut keys = Vec::new();
        for master in self.masters().await? {
            keys.extend(self.servers[master].endless_keys().await?);
        }
        Ok(keys)
    }
}

/// Moves the slot of a room to the next master, slowly.
async fn move_slot(masters: &[SocketAddr], room: u32) -> Result<(), ProcessError> {
    let key = format!("{{r{room}}}:h");
    let mut ids = Vec::new();
    for master in masters {
        ids.push(redis_client::ask::<String>(*master, &["CLUSTER", "MYID"]).await?);
    }
    let slot: u16 = redis_client::ask(masters[0], &["CLUSTER", "KEYSLOT", &key]).await?;
    let slot = slot.to_string();
    let mut from = None;
    for (index, master) in masters.iter().enumerate() {
        let count =
            redis_client::ask::<u64>(*master, &["CLUSTER", "COUNTKEYSINSLOT", &slot]).await?;
        from = from.or((count > 0).then_some(index));
    }
    // A room that nobody is in has no keys to move.
    let Some(from) = from else { return Ok(()) };
    let to = (from + 1) % masters.len();
    let set = ["CLUSTER", "SETSLOT", &slot];
    let run = async |master: usize, more: [&str; 2]| {
        redis_client::run(masters[master], &[&set[..], &more].concat()).await
    };
    run(to, ["IMPORTING", &ids[from]]).await?;
    run(from, ["MIGRATING", &ids[to]]).await?;
    sleep(BETWEEN).await;
    move_keys(masters[from], masters[to], &slot, "2").await?;
    sleep(BETWEEN).await;
    while move_keys(masters[from], masters[to], &slot, "100").await? {}
    for master in [to, from] {
        run(master, ["NODE", &ids[to]]).await?;
    }
    Ok(())
}

/// Moves so many keys of a slot; tells whether there were any.
async fn move_keys(
    from: SocketAddr,
    to: SocketAddr,
    slot: &str,
    most: &str,
) -> Result<bool, ProcessError> {
    let keys: Vec<String> =
        redis_client::ask(from, &["CLUSTER", "GETKEYSINSLOT", slot, most]).await?;
    if keys.is_empty() {
        return Ok(false);
    }
    let (ip, port) = (to.ip().to_string(), to.port().to_string());
    let mut migrate = vec!["MIGRATE", &ip, &port, "", "0", "5000", "KEYS"];
    migrate.extend(keys.iter().map(String::as_str));
    redis_client::run(from, &migrate).await?;
    Ok(true)
}
