//! Starts a real redis-server on loopback, used as coturn's Redis.

use std::net::TcpListener;
use std::process::Stdio;

use rcgen::CertifiedKey;
use redis::FromRedisValue;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Attempts to start: a port may be taken between its choice and its use.
const ATTEMPTS: usize = 5;

/// A running redis-server; killed on drop.
pub(crate) struct Redis {
    port: u16,
    process: Child,
    files: TempDir,
}

impl Redis {
    /// Starts redis-server and waits until it accepts connections.
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
        self.kill().await;
        self.process = serve(self.port, &self.files).await.expect("the port is free again");
    }

    /// Kills it, so that nothing listens where it was.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Saves so many keys, and starts again so slowly that it is loading them for a while.
    pub(crate) async fn load_slowly(&mut self, keys: u32) {
        self.run::<String>(&["CONFIG", "SET", "key-load-delay", "1000"]).await;
        let fill = "for n = 1, tonumber(ARGV[1]) do redis.call('SET', 'filler' .. n, 'x') end";
        self.run::<()>(&["EVAL", fill, "0", &keys.to_string()]).await;
        self.run::<String>(&["SAVE"]).await;
        self.kill().await;
        let slowly =
            ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"];
        self.process = spawn(self.port, &self.files, &slowly);
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Lets it speak TLS too, for `localhost`, to whoever shows this very certificate. Returns its URL, and the files of
    /// certificate and key.
    pub(crate) async fn with_tls(&self) -> (String, String, String) {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: String| {
            let path = self.files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let cert = write("tls.crt", cert.pem());
        let key = write("tls.key", signing_key.serialize_pem());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = port.to_string();
        let words = [
            ["tls-cert-file", &cert],
            ["tls-key-file", &key],
            ["tls-ca-cert-file", &cert],
            ["tls-port", &port],
        ];
        self.run::<String>(&[&["CONFIG", "SET"], &words.concat()[..]].concat()).await;
        (format!("rediss://localhost:{port}"), cert, key)
    }

    /// Lines of turnserver.conf: secrets from here, usage reports to here.
    pub(crate) fn coturn_lines(&self) -> String {
        let place = format!("ip=127.0.0.1 dbname=0 port={} connect_timeout=5", self.port);
        format!("use-auth-secret\nredis-userdb=\"{place}\"\nredis-statsdb=\"{place}\"\n")
    }

    /// Runs one command and returns its reply.
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
    let mut process = spawn(port, files, &[]);
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("Ready to accept connections") {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some(process);
        }
    }
    None
}

fn spawn(port: u16, files: &TempDir, further: &[&str]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--dir", files.path().to_str().unwrap()])
        .args(further)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server cannot be started: apt-get install redis-server")
}
