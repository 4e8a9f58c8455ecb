//! A child process: started with its output in a file, signalled by its id, ended with its owner.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::throttle::Throttle;

/// How long a process may take to start or to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Why a process cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The operating system says no.
    #[error("a process or port cannot be had: {0}")]
    Io(#[from] io::Error),
    /// The program is not there.
    #[error("{0} cannot be started: {1}; {2}")]
    Missing(String, io::Error, &'static str),
    /// The program of the nodes is not there.
    #[error(
        "there is no {0}: run `cargo build -p signal-node` with the same profile, or say --node-binary"
    )]
    NoNode(PathBuf),
    /// It did not become ready.
    #[error("{0} did not start; see {1}")]
    NotReady(String, PathBuf),
    /// It did not end when asked to.
    #[error("{0} did not end within {1:?} of SIGTERM")]
    NotEnded(String, Duration),
    /// Redis did not do what it was told.
    #[error("redis-server was told {0}, and: {1}")]
    Command(String, String),
    /// It did not end well.
    #[error("{0} ended with {1}")]
    EndedBadly(String, ExitStatus),
}

/// Finds the program of the nodes: as told, or beside this program.
///
/// # Errors
/// When there is none.
pub fn find_node_binary(told: Option<&Path>) -> Result<PathBuf, ProcessError> {
    let path = match told {
        Some(path) => path.to_path_buf(),
        None => std::env::current_exe()?.with_file_name("signal-node"),
    };
    if path.is_file() { Ok(path) } else { Err(ProcessError::NoNode(path)) }
}

pub(super) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts a program; its standard output is piped, its standard error goes to a file.
    pub(super) fn spawn(
        name: &str,
        command: &mut Command,
        log: &Path,
        hint: &'static str,
    ) -> Result<Self, ProcessError> {
        let log = append(log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let spawned = command.spawn();
        let child = spawned.map_err(|error| ProcessError::Missing(name.to_owned(), error, hint))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// Takes the standard output, which can be done once.
    pub(super) fn stdout(&mut self) -> Option<tokio::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// The resident memory of the process in bytes, while it runs.
    pub(super) fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }

    /// Sends a signal, unless the process has ended.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        self.pid().map_or(Ok(()), |pid| Ok(kill_process(pid, signal).map_err(io::Error::from)?))
    }

    /// Gives the process a tenth of the processor for as long as the value lives, unless it has ended.
    pub(super) fn throttle(&self) -> Option<Throttle> {
        self.pid().map(Throttle::start)
    }

    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
    }

    /// Kills the process and waits until it is gone.
    pub(super) async fn kill(&mut self) -> Result<(), ProcessError> {
        Ok(self.child.kill().await?)
    }

    /// Asks the process to end and waits until it has, with success.
    pub(super) async fn end(&mut self, within: Duration) -> Result<(), ProcessError> {
        self.signal(Signal::TERM)?;
        let Ok(ended) = timeout(within, self.child.wait()).await else {
            return Err(ProcessError::NotEnded(self.name.clone(), within));
        };
        let status = ended?;
        if status.success() {
            Ok(())
        } else {
            Err(ProcessError::EndedBadly(self.name.clone(), status))
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
