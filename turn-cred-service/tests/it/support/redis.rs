//! A real redis-server on loopback, as coturn has one.

use std::net::TcpListener;
use std::process::Stdio;

use redis::FromRedisValue;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How many free ports are tried: one may be taken between finding it and using it.
const ATTEMPTS: usize = 5;

/// A running redis-server; it ends with the test.
pub(crate) struct Redis {
    port: u16,
    process: Child,
    files: TempDir,
}

impl Redis {
    /// Starts one and waits until it says that it accepts connections.
    pub(crate) async fn start() -> Self {
        for _ in 0..ATTEMPTS {
            let files = TempDir::new().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(process) = serve(port, &files).await {
                return Self { port, process, files };
            }
        }
        panic!("redis-server did not start");
    }

    /// Kills it and starts it again where it was, empty.
    pub(crate) async fn restart(&mut self) {
        self.process.kill().await.unwrap();
        self.process = serve(self.port, &self.files).await.expect("the port is free again");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What coturn is told to read its secrets here, and to publish what it relays.
    pub(crate) fn coturn_lines(&self) -> String {
        let place = format!("ip=127.0.0.1 dbname=0 port={} connect_timeout=5", self.port);
        format!("use-auth-secret\nredis-userdb=\"{place}\"\nredis-statsdb=\"{place}\"\n")
    }

    /// Runs one command and returns its answer.
    pub(crate) async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }

    /// The secrets that coturn accepts.
    pub(crate) async fn secrets(&self) -> Vec<String> {
        self.run(&["SMEMBERS", "turn/realm/turn.test/secret"]).await
    }
}

/// Starts a redis-server and waits until it accepts connections; `None` if it cannot.
async fn serve(port: u16, files: &TempDir) -> Option<Child> {
    let mut process = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--dir", files.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server cannot be started: apt-get install redis-server");
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("Ready to accept connections") {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some(process);
        }
    }
    None
}
