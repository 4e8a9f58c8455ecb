//! A timer that touches tokio's timer wheel only when its deadline changes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// One deadline, or none.
#[derive(Default)]
pub(crate) struct ResettableTimer {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ResettableTimer {
    /// Sets, moves or cancels the deadline.
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

    /// Polls for the deadline; pending while there is none.
    pub(crate) fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        ready!(sleep.as_mut().poll(context));
        (self.at, self.sleep) = (None, None);
        Poll::Ready(())
    }
}
