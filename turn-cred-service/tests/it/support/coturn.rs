//! Starts a real coturn on loopback.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rcgen::CertifiedKey;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use turn_cred_service::pool::IceUri;
use turn_cred_service::relay::{ConnectOptions, TrustStore};

use super::redis::Redis;

/// Attempts to start: a port may be taken between its choice and its use.
const ATTEMPTS: usize = 3;
/// The only name in its certificate.
const NAME: &str = "localhost";

const CONSOLE_PASSWORD: &str = "canary-console-password";

/// A running coturn on UDP, TCP and TLS; killed on drop.
pub(crate) struct Coturn {
    /// Its address for UDP and TCP.
    pub(crate) address: SocketAddr,
    tls: SocketAddr,
    log: watch::Receiver<String>,
    process: Child,
    files: TempDir,
}

impl Coturn {
    /// Starts coturn with a shared secret; peers on loopback are allowed.
    pub(crate) async fn start(secret: &str) -> Self {
        Self::with_lines(Ipv4Addr::LOCALHOST, secret, "allow-loopback-peers\n").await
    }

    /// Starts coturn with a shared secret after `lines` of turnserver.conf.
    pub(crate) async fn with_lines(ip: impl Into<IpAddr>, secret: &str, lines: &str) -> Self {
        let secret = format!("use-auth-secret\nstatic-auth-secret={secret}\n");
        Self::run(ip.into(), &format!("{lines}\n{secret}")).await
    }

    /// Starts coturn with its secrets in Redis; peers on loopback are allowed.
    pub(crate) async fn with_redis(redis: &Redis) -> Self {
        let lines = format!("allow-loopback-peers\n{}", redis.coturn_lines());
        Self::run(Ipv4Addr::LOCALHOST.into(), &lines).await
    }

    /// Starts coturn with its secrets in Redis and an admin console; returns the console's address
    /// and password file.
    pub(crate) async fn with_console(redis: &Redis) -> (Self, SocketAddr, PathBuf) {
        let console = free_port(Ipv4Addr::LOCALHOST.into());
        let lines = format!(
            "allow-loopback-peers\n{}cli-ip=127.0.0.1\ncli-port={}\ncli-password={CONSOLE_PASSWORD}\n",
            redis.coturn_lines(),
            console.port()
        );
        let coturn = Self::run(Ipv4Addr::LOCALHOST.into(), &lines).await;
        let file = coturn.files.path().join("console-password");
        std::fs::write(&file, CONSOLE_PASSWORD).unwrap();
        (coturn, console, file)
    }

    /// Starts coturn without authentication.
    pub(crate) async fn without_auth(ip: impl Into<IpAddr>, lines: &str) -> Self {
        Self::run(ip.into(), &format!("{lines}\nno-auth\n")).await
    }

    /// Starts coturn with `lines` of turnserver.conf, which must not contain its addresses, and
    /// waits until it listens.
    async fn run(ip: IpAddr, lines: &str) -> Self {
        for _ in 0..ATTEMPTS {
            let mut coturn = Self::spawn(ip, lines);
            let ports = [("UDP", coturn.address), ("TCP", coturn.address), ("TCP", coturn.tls)];
            let is_ready = |log: &String| ports.iter().all(|port| is_open(log, *port));
            if coturn.log.wait_for(is_ready).await.is_ok() {
                return coturn;
            }
        }
        panic!("coturn did not start");
    }

    fn spawn(ip: IpAddr, lines: &str) -> Self {
        let files = TempDir::new().unwrap();
        let (address, tls) = (free_port(ip), free_port(ip));
        let path = |name: &str| files.path().join(name);
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        std::fs::write(path("cert.pem"), cert.pem()).unwrap();
        std::fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
        // In a file: command lines are visible in process lists.
        let mut config = lines.to_owned();
        writeln!(config, "listening-ip={ip}\nrelay-ip={ip}").unwrap();
        writeln!(config, "listening-port={}", address.port()).unwrap();
        writeln!(config, "tls-listening-port={}", tls.port()).unwrap();
        for (key, name) in [("cert", "cert.pem"), ("pkey", "key.pem"), ("pidfile", "pid")] {
            writeln!(config, "{key}={}", path(name).display()).unwrap();
        }
        // coturn would prefer a file to Redis.
        if !lines.contains("redis-userdb") {
            writeln!(config, "userdb={}", path("db").display()).unwrap();
        }
        if !lines.contains("cli-port") {
            config += "no-cli\n";
        }
        config += "realm=turn.test\nrelay-threads=1\nverbose\nlog-file=stdout\n";
        std::fs::write(path("turnserver.conf"), config).unwrap();
        let mut process = Command::new("turnserver")
            .args(["-c", path("turnserver.conf").to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("turnserver cannot be started: install coturn (apt-get install coturn)");
        let log = capture_output(process.stdout.take().unwrap());
        Self { address, tls, log, process, files }
    }

    /// Kills the process, as in a crash.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Number of occurrences of a text in the log.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log.borrow().matches(text).count()
    }

    /// Waits until the log contains a text this many times.
    pub(crate) async fn logs(&self, text: &str, times: usize) {
        let mut log = self.log.clone();
        log.wait_for(|log| log.matches(text).count() >= times).await.unwrap();
    }

    pub(crate) fn udp(&self) -> IceUri {
        format!("turn:{}?transport=udp", self.address).parse().unwrap()
    }

    pub(crate) fn tcp(&self) -> IceUri {
        format!("turn:{}?transport=tcp", self.address).parse().unwrap()
    }

    /// Its TLS URL with the name in the certificate.
    pub(crate) fn tls(&self) -> IceUri {
        format!("turns:{NAME}:{}?transport=tcp", self.tls.port()).parse().unwrap()
    }

    /// Its TLS URL with the address, which is not in the certificate.
    pub(crate) fn tls_by_address(&self) -> IceUri {
        format!("turns:{}", self.tls).parse().unwrap()
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.files.path().join("cert.pem")
    }

    /// Connect options that trust its certificate.
    pub(crate) fn connect_options(&self) -> ConnectOptions {
        connect_options(TrustStore::with_pem_file(&self.certificate()).unwrap())
    }
}

/// Returns whether coturn has logged that a listener is open; the order varies.
fn is_open(log: &str, (protocol, address): (&str, SocketAddr)) -> bool {
    let (listener, port) = (format!("{protocol} listener opened"), format!(":{}", address.port()));
    log.lines().any(|line| line.contains(&listener) && line.ends_with(&port))
}

/// Returns whether this machine has IPv6; some containers have not.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Connect options with a timeout for a busy machine.
pub(crate) fn connect_options(trust: TrustStore) -> ConnectOptions {
    ConnectOptions { step_timeout: Duration::from_secs(5), trust }
}

/// Finds a port that is free for both UDP and TCP.
pub(crate) fn free_port(ip: IpAddr) -> SocketAddr {
    loop {
        let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

/// Collects the output of a process, so that it never blocks on a full pipe.
pub(crate) fn capture_output(output: ChildStdout) -> watch::Receiver<String> {
    let (sender, receiver) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|log| log.extend([&line, "\n"]));
        }
    });
    receiver
}
