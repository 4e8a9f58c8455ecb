//! Writes the outbox to the socket, and closes it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use signal_protocol::{CloseCode, RoomTag};
use tokio::time::{Sleep, sleep, timeout};

use super::run::{CloseCause, Session};
use super::socket::{Incoming, Socket, SocketError};
use crate::metrics::{Direction, SlowBound};
use crate::room::{Delivery, FrameEvent, Overflow};

/// A client whose socket takes nothing for this long is a slow consumer.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long the other side has to answer our close frame (RFC 6455 §7.1.1): a round trip of a bad mobile network. What a
/// client sends after we are gone is answered by a reset, which may cost it the frames it has not read yet, and the code
/// with them.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// Frames written before the socket is read again.
const FRAMES_PER_TURN: usize = 64;

impl<S: Socket> Session<'_, S> {
    /// Writes up to [`FRAMES_PER_TURN`] frames of the outbox.
    pub(super) async fn write(&mut self) -> Result<(), CloseCause> {
        let events = self.queue_some().map_err(|unwritten| self.why(unwritten))?;
        let flushed = self.flush().await;
        flushed.map_err(|unwritten| self.why(unwritten))?;
        self.on_frames_sent(events);
        self.apply_dialect();
        Ok(())
    }

    fn on_frames_sent(&mut self, events: Vec<FrameEvent>) {
        for event in events {
            self.log_membership(&event);
            if let (FrameEvent::Lost(room), Some(_)) = (&event, &self.dialect) {
                self.on_dialect_lost(room);
                continue;
            }
            self.machine.on_frame_sent(&event);
            if event.room().is_some_and(|room| room.tag() == Some(RoomTag::Inbox)) {
                // The handle stays: another `online` may be on its way already.
                self.device.set(usize::from(self.machine.inbox.is_online()));
                continue;
            }
            self.on_call_frame(&event);
            if let (FrameEvent::Unwatched(user), Some(watches)) = (&event, &mut self.watches) {
                watches.remove(user);
            }
            if let FrameEvent::Refused(room) | FrameEvent::Left(room) | FrameEvent::Ended(room, _) =
                event
            {
                self.handles.remove(&room);
            }
        }
    }

    fn why(&self, unwritten: WriteError) -> CloseCause {
        match unwritten {
            WriteError::Slow(bound) => {
                self.context.metrics.slow(bound);
                CloseCause::Node(CloseCode::SlowConsumer, None)
            }
            WriteError::Gone => CloseCause::Client(None),
        }
    }

    /// Queues frames of the outbox on the socket; returns the events that take effect once they are written.
    pub(super) fn queue_some(&mut self) -> Result<Vec<FrameEvent>, WriteError> {
        let mut events = Vec::new();
        for _ in 0..FRAMES_PER_TURN {
            if self.socket.is_full() {
                break;
            }
            let Some(Delivery { frame, event }) = self.outbox.pop()? else { break };
            if self.dialect.is_some() && event != Some(FrameEvent::ForClient) {
                self.translate(&frame);
            } else {
                self.queue(frame);
            }
            events.extend(event);
        }
        Ok(events)
    }

    pub(super) fn queue(&mut self, frame: Bytes) {
        self.traffic.sent.add(frame.len());
        self.socket.queue(frame);
        self.context.metrics.sent.inc();
        self.count_dialect_frame(Direction::Sent);
    }

    /// Writes what is queued on the socket, for [`WRITE_PATIENCE`] at most. Cancel-safe.
    pub(super) async fn flush(&mut self) -> Result<(), WriteError> {
        let mut patience = None;
        poll_fn(|context| self.poll_flush(&mut patience, context)).await
    }

    /// The timer is created only when the socket is not ready at once.
    fn poll_flush(
        &mut self,
        patience: &mut Option<Pin<Box<Sleep>>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), WriteError>> {
        if let Poll::Ready(flushed) = self.socket.poll_flush(context) {
            return Poll::Ready(flushed.map_err(WriteError::from));
        }
        let patience = patience.get_or_insert_with(|| Box::pin(sleep(WRITE_PATIENCE)));
        patience.as_mut().poll(context).map(|()| Err(WriteError::Slow(SlowBound::Time)))
    }

    pub(super) async fn close(&mut self, code: CloseCode) {
        if code != CloseCode::SlowConsumer {
            // Frames queued before the close, such as the `error` that explains it, are written first.
            let _ = timeout(CLOSE_PATIENCE, self.write_all()).await;
        }
        self.close_raw(code.number(), code.name()).await;
    }

    async fn write_all(&mut self) {
        while self.outbox.has_frames() && self.queue_some().is_ok() && self.flush().await.is_ok() {}
    }

    /// Closes, and waits for the client's close frame, so that the code is not lost to a reset.
    pub(super) async fn close_raw(&mut self, code: u16, reason: &'static str) {
        let goodbye = async {
            self.socket.close(code, reason).await;
            while let Ok(incoming) = poll_fn(|context| self.socket.poll_recv(context)).await {
                if matches!(incoming, Incoming::Closed(_)) {
                    break;
                }
            }
        };
        // A client that does not answer in time is gone.
        let _ = timeout(CLOSE_PATIENCE, pin!(goodbye)).await;
    }
}

/// Why frames cannot be written.
#[derive(Clone, Copy)]
pub(super) enum WriteError {
    /// The client reads too slowly.
    Slow(SlowBound),
    /// The connection is broken.
    Gone,
}

impl From<Overflow> for WriteError {
    fn from(overflow: Overflow) -> Self {
        Self::Slow(match overflow {
            Overflow::Bytes => SlowBound::Bytes,
            Overflow::Frames => SlowBound::Frames,
        })
    }
}

impl From<SocketError> for WriteError {
    fn from(_: SocketError) -> Self {
        Self::Gone
    }
}
