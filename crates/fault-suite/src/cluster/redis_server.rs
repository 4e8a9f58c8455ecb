//! A real `redis-server` that can be killed, started again in place, and stopped for a while.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use super::log_file;
use super::process::{PATIENCE, Process, ProcessError};

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

/// A running Redis; it ends with this value.
pub struct RedisServer {
    address: SocketAddr,
    folder: PathBuf,
    persistence: Persistence,
    process: Process,
}

impl RedisServer {
    /// Starts one on a free port, with its data below `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(folder: &Path, persistence: Persistence) -> Result<Self, ProcessError> {
        let folder = folder.join("redis");
        // What an earlier run has left there would come back as rooms of this one.
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let mut attempt = 0;
        loop {
            let address = free_port()?;
            match launch(address, &folder, persistence).await {
                Ok(process) => return Ok(Self { address, folder, persistence, process }),
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
        self.process.kill().await
    }

    /// Starts it again on the same port, with what it had written.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> Result<(), ProcessError> {
        self.process = launch(self.address, &self.folder, self.persistence).await?;
        Ok(())
    }

    /// Stops the process, or has it go on.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn stall(&self, stalled: bool) -> Result<(), ProcessError> {
        self.process.signal(if stalled { Signal::STOP } else { Signal::CONT })
    }
}

fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

async fn launch(
    address: SocketAddr,
    folder: &Path,
    persistence: Persistence,
) -> Result<Process, ProcessError> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--port", &address.port().to_string()]);
    command.args(persistence.options()).arg("--dir").arg(folder);
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
