//! A real `signal-node` that can be killed, stopped for a while, and restarted in place.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::process::{PATIENCE, Process, ProcessError};
use super::throttle::Throttle;
use super::{ClusterSettings, SECRET, log_file};

/// A running node; it ends with this value.
pub struct Node {
    name: String,
    settings: ClusterSettings,
    redis: SocketAddr,
    address: SocketAddr,
    admin: watch::Sender<SocketAddr>,
    process: Process,
    throttle: Option<Throttle>,
}

/// The line in which a node or a credential service says where it listens.
#[derive(Deserialize)]
pub(super) struct Listening {
    event: String,
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// What a node tells on `/metrics`.
pub struct Metrics(String);

impl Metrics {
    /// The sum of all samples whose line begins so.
    #[must_use]
    pub fn sum(&self, beginning: &str) -> f64 {
        let samples = self.0.lines().filter(|line| line.starts_with(beginning));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Fetches them from a node.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn fetch(admin: SocketAddr) -> io::Result<Self> {
        Ok(Self(get(admin, "/metrics").await?))
    }
}

/// Whether a node says that it is ready.
///
/// # Errors
/// When it does not answer.
pub async fn is_ready(admin: SocketAddr) -> io::Result<bool> {
    let answer = get(admin, "/readyz").await?;
    Ok(answer.lines().next().is_some_and(|line| line.contains(" 200 ")))
}

async fn get(admin: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

impl Node {
    /// Starts one that reaches Redis at this address.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(
        settings: &ClusterSettings,
        index: usize,
        redis: SocketAddr,
    ) -> Result<Self, ProcessError> {
        let name = format!("node-{index}");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (process, address, admin) = launch(settings, &name, redis, any).await?;
        let admin = watch::Sender::new(admin);
        Ok(Self {
            name,
            settings: settings.clone(),
            redis,
            address,
            admin,
            process,
            throttle: None,
        })
    }

    /// Where it serves clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its log goes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        log_file(&self.settings.folder, &self.name)
    }

    /// Ends it without notice.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&mut self) -> Result<(), ProcessError> {
        self.throttle = None;
        self.process.kill().await
    }

    /// Asks it to end and waits until it has, with success.
    ///
    /// # Errors
    /// When it does not end in time, or badly.
    pub async fn end(&mut self, within: Duration) -> Result<(), ProcessError> {
        self.process.end(within).await
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

    /// Starts it again on the same address.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> Result<(), ProcessError> {
        let launched = launch(&self.settings, &self.name, self.redis, self.address).await?;
        let (process, _, admin) = launched;
        self.process = process;
        self.admin.send_replace(admin);
        Ok(())
    }

    /// The resident memory of the process, in bytes.
    #[must_use]
    pub fn resident(&self) -> Option<u64> {
        self.process.resident()
    }

    /// Fetches what it counts.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<Metrics, ProcessError> {
        let admin = *self.admin.borrow();
        Ok(Metrics::fetch(admin).await?)
    }

    /// Where it tells of itself; another address after each restart.
    #[must_use]
    pub fn admin(&self) -> watch::Receiver<SocketAddr> {
        self.admin.subscribe()
    }
}

async fn launch(
    settings: &ClusterSettings,
    name: &str,
    redis: SocketAddr,
    address: SocketAddr,
) -> Result<(Process, SocketAddr, SocketAddr), ProcessError> {
    let log = log_file(&settings.folder, name);
    let mut command = Command::new(&settings.binary);
    command.env_clear().envs(environment(settings, redis, address));
    let mut process = Process::spawn(name, &mut command, &log, "is it a program?")?;
    let listening = async { listening(process.stdout()?).await };
    match timeout(PATIENCE, listening).await {
        Ok(Some(told)) => Ok((process, told.public, told.admin)),
        _ => Err(ProcessError::NotReady(name.to_owned(), log)),
    }
}

fn environment(
    settings: &ClusterSettings,
    redis: SocketAddr,
    address: SocketAddr,
) -> Vec<(String, String)> {
    let ms = |duration: Duration| format!("{}ms", duration.as_millis());
    let mut variables = vec![
        ("LISTEN".to_owned(), address.to_string()),
        ("ADMIN_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("BACKEND".to_owned(), "redis".to_owned()),
        ("REDIS_URL".to_owned(), format!("redis://{redis}")),
        ("JWT_SECRET".to_owned(), SECRET.to_owned()),
        ("LEASE".to_owned(), ms(settings.lease)),
        ("GRACE".to_owned(), ms(settings.grace)),
        ("PING".to_owned(), ms(settings.ping)),
        ("ROOM_CAPACITY".to_owned(), settings.capacity.to_string()),
        // All clients of the suite come from one address.
        ("MAX_CONNECTIONS_PER_IP".to_owned(), "100000".to_owned()),
        ("LOG".to_owned(), settings.log.clone()),
    ];
    variables.extend(settings.extra.iter().cloned());
    variables.into_iter().map(|(name, value)| (format!("SIGNAL_NODE_{name}"), value)).collect()
}

/// Reads until the process says where it listens.
pub(super) async fn listening(stdout: ChildStdout) -> Option<Listening> {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let told = serde_json::from_str::<Listening>(&line);
        if let Ok(listening) = told.map_err(drop)
            && listening.event == "listening"
        {
            return Some(listening);
        }
    }
    None
}
