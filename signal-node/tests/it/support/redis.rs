//! A redis-server of its own for each test.

use std::net::TcpListener;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running redis-server; it ends with this value.
pub(crate) struct TestRedis {
    port: u16,
    _process: Child,
    _folder: TempDir,
}

impl TestRedis {
    /// Starts one and waits until it says that it accepts connections.
    pub(crate) async fn start() -> Self {
        for _ in 0..5 {
            if let Some(redis) = Self::try_start().await {
                return redis;
            }
        }
        panic!("redis-server did not start on any of five ports");
    }

    async fn try_start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is needed: apt-get install redis-server");
        let stdout = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("Ready to accept connections") {
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Some(Self { port, _process: process, _folder: folder });
            }
        }
        None
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Publishes on a room's channel, as a node gone wrong would.
    pub(crate) async fn publish(&self, channel: &str, text: &str) {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        let heard: i64 = redis::cmd("SPUBLISH")
            .arg(channel)
            .arg(text)
            .query_async(&mut connection)
            .await
            .expect("an answer");
        assert!(heard > 0, "somebody listens");
    }

    /// Cuts every subscriber's connection, as a failing network would.
    pub(crate) async fn cut_subscribers(&self) {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        let cut: i64 = redis::cmd("CLIENT")
            .arg("KILL")
            .arg("TYPE")
            .arg("pubsub")
            .query_async(&mut connection)
            .await
            .expect("an answer");
        assert!(cut > 0, "there were subscribers");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
