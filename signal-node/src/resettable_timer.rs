//! A timer that is only touched when its moment changes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// One appointment of a task, or none.
#[derive(Default)]
pub(crate) struct ResettableTimer {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ResettableTimer {
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

    /// Polls for its moment; never ready while there is none.
    pub(crate) fn poll_rings(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        ready!(sleep.as_mut().poll(context));
        (self.at, self.sleep) = (None, None);
        Poll::Ready(())
    }
}
