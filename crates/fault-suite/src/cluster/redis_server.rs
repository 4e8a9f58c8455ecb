//! A real `redis-server` that can be killed, started again in place, and stopped for a while.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use super::clock::SteppedClock;
use super::process::{PATIENCE, Process, ProcessError};
use super::throttle::Throttle;
use super::{log_file, redis_client};

/// What Redis keeps for its next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing: after a kill it starts empty.
    None,
    /// Everything it has answered.
    ///
    /// The append-only file is written before answers are sent. Without `fsync` that survives the
    /// end of the process, which is what the suite brings about, and not that of the machine.
    AppendOnly,
}

impl Persistence {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::None => &["--appendonly", "no"],
            Self::AppendOnly => &["--appendonly", "yes", "--appendfsync", "no"],
        }
    }
}

/// Why Redis refuses writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `NOREPLICAS`.
    TooFewReplicas,
    /// `OOM`.
    OutOfMemory,
    /// `READONLY`.
    ReadOnly,
    /// `MISCONF`.
    FailedSnapshot,
}

impl Refusal {
    fn begin(self) -> &'static [&'static str] {
        match self {
            // More than there ever are: the primary before a failover is a replica.
            Self::TooFewReplicas => &["CONFIG", "SET", "min-replicas-to-write", "9"],
            Self::OutOfMemory => &["CONFIG", "SET", "maxmemory", "1"],
            Self::ReadOnly => &["REPLICAOF", "127.0.0.1", "1"],
            Self::FailedSnapshot => &["CONFIG", "SET", "stop-writes-on-bgsave-error", "yes"],
        }
    }

    fn end(self) -> &'static [&'static str] {
        match self {
            Self::TooFewReplicas => &["CONFIG", "SET", "min-replicas-to-write", "0"],
            Self::OutOfMemory => &["CONFIG", "SET", "maxmemory", "0"],
            Self::ReadOnly => &["REPLICAOF", "NO", "ONE"],
            Self::FailedSnapshot => &["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"],
        }
    }
}

/// Where Redis puts a snapshot, and where the suite keeps one.
const SNAPSHOT: &str = "dump.rdb";
const KEPT_SNAPSHOT: &str = "kept.rdb";

/// A running Redis; it ends with this value.
pub struct RedisServer {
    address: SocketAddr,
    folder: PathBuf,
    persistence: Persistence,
    clock: SteppedClock,
    options: Vec<String>,
    process: Process,
    throttle: Option<Throttle>,
}

impl RedisServer {
    /// Starts one on a free port, with its data in `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(
        folder: PathBuf,
        persistence: Persistence,
        clock: SteppedClock,
    ) -> Result<Self, ProcessError> {
        Self::start_with(folder, persistence, clock, Vec::new()).await
    }

    /// Starts one with further options.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_with(
        folder: PathBuf,
        persistence: Persistence,
        clock: SteppedClock,
        options: Vec<String>,
    ) -> Result<Self, ProcessError> {
        // Files of an earlier run would come back as rooms of this one.
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let mut attempt = 0;
        loop {
            let address = free_port()?;
            match launch(address, &folder, persistence, &clock, &options).await {
                Ok(process) => {
                    return Ok(Self {
                        address,
                        folder,
                        persistence,
                        clock,
                        options,
                        process,
                        throttle: None,
                    });
                }
                // Somebody else took the port in between.
                Err(ProcessError::NotReady(..)) if attempt < 4 => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it without notice.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&mut self) -> Result<(), ProcessError> {
        self.throttle = None;
        self.process.kill().await
    }

    /// Starts it again on the same port, with what it had written.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> Result<(), ProcessError> {
        self.launch(self.persistence).await
    }

    async fn launch(&mut self, persistence: Persistence) -> Result<(), ProcessError> {
        let Self { address, folder, clock, options, .. } = self;
        self.process = launch(*address, folder, persistence, clock, options).await?;
        Ok(())
    }

    /// Keeps a snapshot for [`RedisServer::restart_from_snapshot`].
    ///
    /// # Errors
    /// When it cannot be taken.
    pub async fn take_snapshot(&self) -> Result<(), ProcessError> {
        self.run(&["SAVE"]).await?;
        Ok(fs::rename(self.folder.join(SNAPSHOT), self.folder.join(KEPT_SNAPSHOT))?)
    }

    /// Starts it again, after a kill, with the snapshot that was taken and nothing that was written since.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart_from_snapshot(&mut self) -> Result<(), ProcessError> {
        let written = self.folder.join("appendonlydir");
        if written.exists() {
            fs::remove_dir_all(written)?;
        }
        fs::rename(self.folder.join(KEPT_SNAPSHOT), self.folder.join(SNAPSHOT))?;
        // With an append-only file, Redis starts from that alone, and from nothing if there is none.
        self.launch(Persistence::None).await?;
        fs::remove_file(self.folder.join(SNAPSHOT))?;
        if self.persistence == Persistence::AppendOnly {
            self.run(&["CONFIG", "SET", "appendonly", "yes"]).await?;
            self.is_written().await?;
        }
        Ok(())
    }

    /// Makes it the replica of another one, and waits until it has and has written what that one has.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn follow(&self, primary: SocketAddr) -> Result<(), ProcessError> {
        let port = primary.port().to_string();
        self.run(&["REPLICAOF", &primary.ip().to_string(), &port]).await?;
        self.says("replication", &["master_link_status:up"]).await?;
        self.is_written().await
    }

    /// Waits until all of its data is in the append-only file, if it has one.
    async fn is_written(&self) -> Result<(), ProcessError> {
        self.says("persistence", &["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"]).await
    }

    /// Hands its role to its only replica, and waits until that one has it.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn fail_over_to(&self, replica: &Self) -> Result<(), ProcessError> {
        self.run(&["FAILOVER"]).await?;
        replica.says("replication", &["role:master"]).await
    }

    /// Makes it a primary, whatever became of the one it followed.
    ///
    /// # Errors
    /// When Redis does not do as told.
    pub async fn promote(&self) -> Result<(), ProcessError> {
        self.run(&["REPLICAOF", "NO", "ONE"]).await
    }

    /// Deletes about half of all keys; the same seed and names, the same ones.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn lose_keys(&self, seed: u64) -> Result<(), ProcessError> {
        redis_client::lose_keys(self.address, seed).await
    }

    /// Makes it refuse writes, or accept them again.
    ///
    /// # Errors
    /// When Redis does not do as told.
    pub async fn refuse_writes(&self, refusal: Refusal, refuses: bool) -> Result<(), ProcessError> {
        if refusal == Refusal::FailedSnapshot {
            self.fail_snapshots(refuses).await?;
        }
        self.run(if refuses { refusal.begin() } else { refusal.end() }).await
    }

    /// Makes a snapshot fail, by a folder in its place; or clears that away.
    async fn fail_snapshots(&self, fail: bool) -> Result<(), ProcessError> {
        let place = self.folder.join(SNAPSHOT);
        if !fail {
            self.run(&["CONFIG", "SET", "save", ""]).await?;
            return Ok(fs::remove_dir(place)?);
        }
        // What it was sent as a replica may be there.
        if place.is_file() {
            fs::remove_file(&place)?;
        }
        fs::create_dir(place)?;
        self.run(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).await?;
        self.run(&["CONFIG", "SET", "save", "3600 1000000000"]).await?;
        self.run(&["BGSAVE", "SCHEDULE"]).await?;
        self.says("persistence", &["rdb_last_bgsave_status:err"]).await
    }

    /// The keys that never end.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn endless_keys(&self) -> Result<Vec<String>, ProcessError> {
        redis_client::endless_keys(self.address).await
    }

    /// Runs one command and returns its answer.
    pub(super) async fn ask<T: redis_client::FromRedisValue>(
        &self,
        words: &[&str],
    ) -> Result<T, ProcessError> {
        redis_client::ask(self.address, words).await
    }

    async fn run(&self, words: &[&str]) -> Result<(), ProcessError> {
        redis_client::run(self.address, words).await
    }

    async fn says(&self, section: &str, lines: &[&str]) -> Result<(), ProcessError> {
        redis_client::says(self.address, section, lines).await
    }

    /// Stops the process, or has it go on.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn stall(&self, stalled: bool) -> Result<(), ProcessError> {
        self.process.signal(if stalled { Signal::STOP } else { Signal::CONT })
    }

    /// Gives it a tenth of the processor, or all of it again.
    pub fn slow(&mut self, slow: bool) {
        self.throttle = if slow { self.process.throttle() } else { None };
    }
}

pub(super) fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

async fn launch(
    address: SocketAddr,
    folder: &Path,
    persistence: Persistence,
    clock: &SteppedClock,
    options: &[String],
) -> Result<Process, ProcessError> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--port", &address.port().to_string()]);
    // `repl-diskless-sync-delay` is 5 s by default, in case more replicas connect. There is one.
    command.args(["--repl-diskless-sync-delay", "0"]).envs(clock.environment());
    command.args(persistence.options()).args(options).arg("--dir").arg(folder);
    let log = log_file(folder, "stderr");
    let hint = "Debian and Ubuntu have it in the package redis-server";
    let mut process = Process::spawn("redis-server", &mut command, &log, hint)?;
    let ready = async {
        match process.stdout() {
            Some(stdout) => is_ready(stdout).await,
            None => false,
        }
    };
    if timeout(PATIENCE, ready).await.unwrap_or(false) {
        Ok(process)
    } else {
        Err(ProcessError::NotReady("redis-server".to_owned(), log))
    }
}

/// Reads until Redis says that it is ready, and leaves a task behind that reads on.
async fn is_ready(stdout: ChildStdout) -> bool {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("Ready to accept connections") {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return true;
        }
    }
    false
}
