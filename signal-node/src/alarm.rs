//! A timer that is only touched when its moment changes.

use std::future::pending;
use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// One appointment of a task, or none.
#[derive(Default)]
pub(crate) struct Alarm {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Makes, moves or cancels the appointment.
    pub(crate) fn set(&mut self, at: Option<Instant>) {
        if self.at == at {
            return;
        }
        self.at = at;
        match (at, &mut self.sleep) {
            (Some(at), Some(sleep)) => sleep.as_mut().reset(at),
            (Some(at), none) => *none = Some(Box::pin(sleep_until(at))),
            (None, sleep) => *sleep = None,
        }
    }

    /// Waits for it; for ever if there is none. Cancel-safe.
    pub(crate) async fn rings(&mut self) {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().await,
            None => pending().await,
        }
        (self.at, self.sleep) = (None, None);
    }
}
