//! A redis-server of its own for each test.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use service_kit::redis_access::RedisAccess;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::polling::becomes_true;
use super::process::send;

/// How long a server may take to do what it was told; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The library that steps the clock of the servers in whose folder it lies.
const CLOCK_SHIM: &str = "clock_step.so";

/// A running redis-server; it ends with this value.
pub(crate) struct TestRedis {
    port: u16,
    process: Child,
    folder: TempDir,
    /// Lines of its configuration, as arguments.
    lines: Vec<String>,
}

impl TestRedis {
    /// Starts one and waits until it says that it accepts connections.
    pub(crate) async fn start() -> Self {
        Self::configured(&[]).await
    }

    /// Starts one with these arguments, which it has again after a restart.
    pub(crate) async fn configured(lines: &[String]) -> Self {
        for _ in 0..5 {
            if let Some(redis) = Self::try_start(lines).await {
                return redis;
            }
        }
        panic!("redis-server did not start on any of five ports");
    }

    async fn try_start(lines: &[String]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let process = serve(port, folder.path(), &as_words(lines)).await?;
        Some(Self { port, process, folder, lines: lines.to_vec() })
    }

    /// Starts one that speaks TLS too, on a port of its own, with this certificate for `localhost`.
    pub(crate) async fn behind_tls(cert: &Path, key: &Path) -> (Self, String) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, tls) = (free_port(), free_port());
        let mut command = command(port, folder.path());
        command.args(["--tls-port", &tls.to_string(), "--tls-auth-clients", "no"]);
        command.arg("--tls-cert-file").arg(cert).arg("--tls-key-file").arg(key);
        command.arg("--tls-ca-cert-file").arg(cert);
        let process = ready(command).await.expect("the ports are free");
        (Self { port, process, folder, lines: Vec::new() }, format!("rediss://localhost:{tls}"))
    }

    /// Starts one whose wall clock [`TestRedis::step_clock`] sets.
    pub(crate) async fn with_a_clock_to_step() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shim = folder.path().join(CLOCK_SHIM);
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&shim)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/clock_step.c"))
            .status();
        assert!(built.await.expect("a C compiler is needed").success());
        let port = free_port();
        let process = ready(command(port, folder.path())).await.expect("the port is free");
        Self { port, process, folder, lines: Vec::new() }
    }

    /// Sets the wall clock off by so many seconds.
    pub(crate) fn step_clock(&self, seconds: i64) {
        let file = self.folder.path().join("clock_step");
        std::fs::write(file, seconds.to_string()).expect("a file");
    }

    /// Kills it; nothing of what it held is kept.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("it ran");
    }

    /// Starts it again where it was, empty.
    pub(crate) async fn restart(&mut self) {
        let started = serve(self.port, self.folder.path(), &as_words(&self.lines)).await;
        self.process = started.expect("the port is free again");
    }

    /// Stops it without closing a connection.
    pub(crate) fn stall(&self) {
        send(self.process.id().expect("it runs"), "STOP");
    }

    /// Lets it go on.
    pub(crate) fn wake(&self) {
        send(self.process.id().expect("it runs"), "CONT");
    }

    /// Runs one command and returns its answer.
    pub(crate) async fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        ask(self.port, words).await.expect("an answer")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Makes its snapshots fail: a folder is in their way.
    pub(crate) async fn fail_snapshots(&self) {
        std::fs::create_dir(self.folder.path().join("dump.rdb")).expect("a folder");
        self.run::<String>(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).await;
        self.run::<String>(&["CONFIG", "SET", "save", "3600 1000000"]).await;
        self.run::<String>(&["BGSAVE"]).await;
        self.says("persistence", "rdb_last_bgsave_status:err").await;
    }

    /// Waits until this replica has what its primary has.
    pub(crate) async fn is_in_step(&self) {
        self.says("replication", "master_link_status:up").await;
    }

    /// Waits until `INFO` contains this.
    async fn says(&self, section: &str, text: &str) {
        let asked = async || self.run::<String>(&["INFO", section]).await.contains(text);
        becomes_true(text, PATIENCE, asked).await;
    }

    pub(crate) fn access(&self) -> RedisAccess {
        RedisAccess::from_url(&self.url()).expect("a URL")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns what the room's keys hold, as a replica that lags behind would.
    pub(crate) async fn dump(&self, room: &str) -> Vec<(String, Vec<u8>)> {
        let mut kept = Vec::new();
        for kind in ["h", "m", "l", "f"] {
            let key = format!("{{{room}}}:{kind}");
            kept.push((key.clone(), self.run(&["DUMP", &key]).await));
        }
        kept
    }

    /// Sets the room back to what was kept, as a failover to that replica would.
    pub(crate) async fn put_back(&self, kept: &[(String, Vec<u8>)]) {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        let mut all = redis::pipe();
        all.atomic();
        for (key, bytes) in kept {
            all.cmd("RESTORE").arg(key).arg(120_000).arg(bytes.as_slice()).arg("REPLACE").ignore();
        }
        all.query_async::<()>(&mut connection).await.expect("an answer");
    }

    /// Publishes on a room's channel, as a node gone wrong would.
    pub(crate) async fn publish(&self, channel: &str, text: &str) {
        let heard: i64 = self.run(&["SPUBLISH", channel, text]).await;
        assert!(heard > 0, "somebody listens");
    }

    /// Cuts every subscriber's connection, as a failing network would.
    pub(crate) async fn cut_subscribers(&self) {
        let cut: i64 = self.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        assert!(cut > 0, "there were subscribers");
    }
}

/// Asks a server one thing.
pub(super) async fn ask<T: redis::FromRedisValue>(
    port: u16,
    words: &[&str],
) -> redis::RedisResult<T> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let (name, arguments) = words.split_first().expect("a command");
    redis::cmd(name).arg(arguments).query_async(&mut connection).await
}

/// Starts a server and waits until it says that it accepts connections.
pub(super) async fn serve(port: u16, folder: &Path, arguments: &[&str]) -> Option<Child> {
    let mut command = command(port, folder);
    command.args(arguments);
    ready(command).await
}

fn as_words(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

fn command(port: u16, folder: &Path) -> Command {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let shim = folder.join(CLOCK_SHIM);
    if shim.exists() {
        command.env("LD_PRELOAD", shim).env("CLOCK_STEP", folder.join("clock_step"));
    }
    command
}

async fn ready(mut command: Command) -> Option<Child> {
    let mut process =
        command.spawn().expect("redis-server is needed: apt-get install redis-server");
    let stdout = process.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("Ready to accept connections") {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some(process);
        }
    }
    None
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
