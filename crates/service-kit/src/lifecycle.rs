//! The life of a service: it runs, it winds down when asked, it stops when asked twice.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was asked to end and finished what it had begun.
    Drained = 0,
    /// It could not start, or crashed.
    Failed = 1,
    /// Its settings cannot be used (`EX_USAGE` of sysexits.h).
    Unusable = 64,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What every part of a service shares to end together.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Cancelled when the service shall wind down: finish, take nothing new.
    pub soft: CancellationToken,
    /// Cancelled when it shall stop at once.
    pub hard: CancellationToken,
    /// Counts the tasks to wait for at the end.
    pub tasks: TaskTracker,
}

impl Lifecycle {
    /// Begins a life that nobody has asked to end.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Winds down on the first SIGTERM or SIGINT, and stops on the second.
    ///
    /// # Errors
    /// When the operating system refuses a signal handler.
    pub fn follow_signals(&self) -> std::io::Result<()> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(self.clone().handle_signals(terminate, interrupt));
        Ok(())
    }

    /// Waits until every tracked task has ended, or the hard stop.
    pub async fn finished(&self) {
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = self.hard.cancelled() => {}
        }
    }

    async fn handle_signals(self, mut terminate: Signal, mut interrupt: Signal) {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if self.soft.is_cancelled() {
                warn!("asked twice to end: stopping at once");
                self.hard.cancel();
                return;
            }
            info!("asked to end: winding down");
            self.soft.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finished_waits_for_tasks_and_not_past_the_hard_stop() {
        let life = Lifecycle::new();
        let soft = life.soft.clone();
        life.tasks.spawn(async move { soft.cancelled().await });
        life.soft.cancel();
        life.finished().await;

        let life = Lifecycle::new();
        life.tasks.spawn(std::future::pending::<()>());
        life.hard.cancel();
        life.finished().await;
    }
}
