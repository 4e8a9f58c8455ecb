//! A child process on the first core, and what it costs, as procfs tells.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::problem::Problem;

/// How long a program may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; it ends with this value.
pub(crate) struct Process {
    name: String,
    address: SocketAddr,
    child: Child,
}

/// What a process has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Seconds on a core, of all its threads.
    pub(crate) cpu: f64,
    /// Resident memory, in bytes.
    pub(crate) resident: f64,
    /// The part of it that is no page of a file: what the process has allocated, in bytes.
    pub(crate) anonymous: f64,
}

/// The line in which our servers, and the thin ones, say where they listen.
#[derive(Deserialize)]
struct Listening {
    public: SocketAddr,
}

/// Makes a command that runs on the first core only, where servers are measured.
pub(crate) fn on_first_core(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

impl Process {
    /// Starts a program that prints where it listens as its first line of JSON.
    pub(crate) async fn start(name: &str, command: &mut Command) -> Result<Self, Problem> {
        let mut child = spawn(name, command)?;
        let stdout = child.stdout.take().ok_or_else(|| Problem::NotReady(name.to_owned()))?;
        match timeout(PATIENCE, listening(stdout)).await {
            Ok(Some(address)) => Ok(Self { name: name.to_owned(), address, child }),
            _ => Err(Problem::NotReady(name.to_owned())),
        }
    }

    /// Starts a program that listens at an address known before, and waits until it does.
    pub(crate) async fn start_at(
        name: &str,
        command: &mut Command,
        address: SocketAddr,
    ) -> Result<Self, Problem> {
        let child = spawn(name, command.stdout(Stdio::null()))?;
        let connecting = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            loop {
                pace.tick().await;
                if tokio::net::TcpStream::connect(address).await.is_ok() {
                    return;
                }
            }
        };
        let ready = timeout(PATIENCE, connecting).await;
        ready.map_err(|_| Problem::NotReady(name.to_owned()))?;
        Ok(Self { name: name.to_owned(), address, child })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it without notice, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<(), Problem> {
        Ok(self.child.kill().await?)
    }

    /// Reads what it has cost so far (`proc(5)`: `schedstat` and `smaps_rollup`).
    pub(crate) fn cost(&self) -> Result<Cost, Problem> {
        let id = self.child.id().ok_or_else(|| Problem::NotReady(self.name.clone()))?;
        let mut nanoseconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{id}/task"))? {
            // A thread may end while we look.
            let stat = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += first_number(&stat);
        }
        let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
        let bytes = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            first_number(line.unwrap_or_default()) * 1024.0
        };
        let (resident, anonymous) = (bytes("Rss:"), bytes("Anonymous:"));
        Ok(Cost { cpu: nanoseconds / 1e9, resident, anonymous })
    }
}

fn spawn(name: &str, command: &mut Command) -> Result<Child, Problem> {
    command.spawn().map_err(|error| Problem::Missing(name.to_owned(), error))
}

/// Reads until the program says where it listens.
async fn listening(stdout: ChildStdout) -> Option<SocketAddr> {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(Listening { public }) = serde_json::from_str(&line) {
            // Nobody reads its later output; a closed pipe is no error to it.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some(public);
        }
    }
    None
}

/// Reads the first number of a line; 0 if there is none.
pub(crate) fn first_number(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Bytes of kernel memory in slabs, where sockets live.
pub(crate) fn slab() -> Result<f64, Problem> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Slab:")).unwrap_or_default();
    Ok(first_number(line) * 1024.0)
}
