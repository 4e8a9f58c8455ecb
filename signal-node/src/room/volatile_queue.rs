//! Volatile signals on their way to the log: while some are being told, the next ones collect.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use signal_protocol::RoomId;
use tracing::debug;

use crate::log::{RoomLog, Volatile};

/// Volatile signals that may wait to be told; the oldest are lost to newer ones.
const UNTOLD: usize = 256;

/// Those of one room.
#[derive(Default)]
pub(super) struct VolatileQueue {
    untold: Vec<Volatile>,
    flight: Option<BoxFuture<'static, ()>>,
}

impl VolatileQueue {
    /// Queues a signal.
    pub(super) fn push(&mut self, volatile: Volatile) {
        if self.untold.len() >= UNTOLD {
            self.untold.remove(0);
        }
        self.untold.push(volatile);
    }

    /// Tells what has collected, unless something is being told.
    pub(super) fn send_next(&mut self, log: &Arc<dyn RoomLog>, room: &RoomId) {
        if self.flight.is_some() || self.untold.is_empty() {
            return;
        }
        let (log, room) = (log.clone(), room.clone());
        let volatiles = std::mem::take(&mut self.untold);
        self.flight = Some(Box::pin(async move {
            if let Err(error) = log.tell(&room, &volatiles).await {
                debug!(room.id = %room, %error, "volatile signals in room {room} were lost");
            }
        }));
    }

    /// Polls what is being told; never ready while that is nothing.
    pub(super) fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(flight) = &mut self.flight else { return Poll::Pending };
        ready!(flight.as_mut().poll(context));
        self.flight = None;
        Poll::Ready(())
    }
}
