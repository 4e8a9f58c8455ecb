//! Startup and shutdown of a service: the first signal drains, the second stops at once.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success; for a service, after it drained.
    Drained = 0,
    /// The service could not start, or crashed.
    Failed = 1,
    /// Unusable settings (`EX_USAGE` of sysexits.h).
    Unusable = 64,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Shutdown signals and tasks, shared by all parts of a service.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Cancelled to start the drain: accept nothing new, finish the rest.
    pub soft: CancellationToken,
    /// Cancelled to stop at once.
    pub hard: CancellationToken,
    /// The tasks that [`Lifecycle::finished`] waits for.
    pub tasks: TaskTracker,
}

impl Lifecycle {
    /// Creates a lifecycle without a shutdown request.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels `soft` on the first SIGTERM or SIGINT, and `hard` on the second.
    ///
    /// # Errors
    /// When a signal handler cannot be installed.
    pub fn follow_signals(&self) -> std::io::Result<()> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(self.clone().handle_signals(terminate, interrupt));
        Ok(())
    }

    /// Waits until every tracked task has ended, or `hard` is cancelled.
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
                warn!("shutdown requested twice: stopping at once");
                self.hard.cancel();
                return;
            }
            info!("shutdown requested: draining");
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
