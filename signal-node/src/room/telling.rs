//! Volatile signals on their way to the log: while some are being told, the next ones collect.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use signal_protocol::RoomId;
use tracing::debug;

use crate::log::{LogError, RoomLog, Volatile};

/// Volatile signals that may wait to be told; the oldest are lost to newer ones.
const UNTOLD: usize = 256;

/// Those of one room.
pub(super) struct Telling {
    log: Arc<dyn RoomLog>,
    room: RoomId,
    untold: Vec<Volatile>,
    flight: Option<BoxFuture<'static, Result<(), LogError>>>,
}

impl Telling {
    pub(super) fn new(log: Arc<dyn RoomLog>, room: RoomId) -> Self {
        Self { log, room, untold: Vec::new(), flight: None }
    }

    /// Queues a signal.
    pub(super) fn push(&mut self, volatile: Volatile) {
        if self.untold.len() >= UNTOLD {
            self.untold.remove(0);
        }
        self.untold.push(volatile);
    }

    /// Tells what has collected, unless something is being told.
    pub(super) fn depart(&mut self) {
        if self.flight.is_some() || self.untold.is_empty() {
            return;
        }
        let (log, room) = (self.log.clone(), self.room.clone());
        let volatiles = std::mem::take(&mut self.untold);
        self.flight = Some(Box::pin(async move { log.tell(&room, &volatiles).await }));
    }

    /// Waits until it was told; for ever if nothing is being told. Cancel-safe.
    pub(super) async fn landed(&mut self) {
        let Some(flight) = &mut self.flight else { return std::future::pending().await };
        if let Err(error) = flight.await {
            debug!(room.id = %self.room, %error, "volatile signals in room {} were lost", self.room);
        }
        self.flight = None;
    }
}
