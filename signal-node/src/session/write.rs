//! Writing what waits for a socket, and ending it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use signal_protocol::CloseCode;
use tokio::time::{Sleep, sleep, timeout};

use super::run::{Ending, Reason, Session};
use super::socket::{Incoming, Socket, SocketError};
use crate::metrics::SlowBound;
use crate::room::{Delivery, FrameEvent, Overflow};

/// A socket that takes nothing for this long is a slow consumer's.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long the other side has to answer our close frame (RFC 6455 §7.1.1): a round trip of a bad mobile network. What a
/// client sends after we are gone is answered by a reset, which may cost it the frames it has not read yet, and the code
/// with them.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// Frames written before the socket is listened to again.
const FRAMES_PER_TURN: usize = 64;

impl<S: Socket> Session<'_, S> {
    /// Writes some of what waits, then lets the socket be read again.
    pub(super) async fn write(&mut self) -> Result<(), Reason> {
        let events = self.queue_some().map_err(|unwritten| self.why(unwritten))?;
        let flushed = self.flush().await;
        flushed.map_err(|unwritten| self.why(unwritten))?;
        self.on_frames_sent(events);
        Ok(())
    }

    fn on_frames_sent(&mut self, events: Vec<FrameEvent>) {
        for event in events {
            self.machine.on_frame_sent(&event);
            if let FrameEvent::Refused(room) | FrameEvent::Left(room) | FrameEvent::Ended(room, _) =
                event
            {
                self.handles.remove(&room);
            }
        }
    }

    fn why(&self, unwritten: Unwritten) -> Reason {
        match unwritten {
            Unwritten::Slow(bound) => {
                self.context.metrics.slow(bound);
                Reason::Code(CloseCode::SlowConsumer, None)
            }
            Unwritten::Gone => Reason::Left(None),
        }
    }

    /// Hands the socket some of what waits; returns what that means once it is written.
    fn queue_some(&mut self) -> Result<Vec<FrameEvent>, Unwritten> {
        let mut events = Vec::new();
        for _ in 0..FRAMES_PER_TURN {
            if self.socket.is_full() {
                break;
            }
            let Some(Delivery { frame, event }) = self.outbox.pop()? else { break };
            self.socket.queue(frame);
            self.context.metrics.sent.inc();
            events.extend(event);
        }
        Ok(events)
    }

    /// Writes what the socket was handed, unless it takes nothing for too long. Cancel-safe.
    pub(super) async fn flush(&mut self) -> Result<(), Unwritten> {
        let mut patience = None;
        poll_fn(|context| self.poll_flush(&mut patience, context)).await
    }

    /// `patience` is a timer only once the socket has to be waited for.
    fn poll_flush(
        &mut self,
        patience: &mut Option<Pin<Box<Sleep>>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Unwritten>> {
        if let Poll::Ready(flushed) = self.socket.poll_flush(context) {
            return Poll::Ready(flushed.map_err(Unwritten::from));
        }
        let patience = patience.get_or_insert_with(|| Box::pin(sleep(WRITE_PATIENCE)));
        patience.as_mut().poll(context).map(|()| Err(Unwritten::Slow(SlowBound::Time)))
    }

    pub(super) async fn close(&mut self, code: CloseCode, detail: Option<Box<str>>) -> Ending {
        if code != CloseCode::SlowConsumer {
            // What was said before the end is part of it, as far as the client still listens.
            let _ = timeout(CLOSE_PATIENCE, self.write_all()).await;
        }
        self.close_raw(code.number(), code.name(), detail).await
    }

    async fn write_all(&mut self) {
        while self.outbox.has_frames() && self.queue_some().is_ok() && self.flush().await.is_ok() {}
    }

    /// Closes, and waits a moment for the answer, so that the code is not lost to a reset.
    pub(super) async fn close_raw(
        &mut self,
        code: u16,
        reason: &'static str,
        detail: Option<Box<str>>,
    ) -> Ending {
        let goodbye = async {
            self.socket.close(code, reason).await;
            while let Ok(incoming) = poll_fn(|context| self.socket.poll_recv(context)).await {
                if matches!(incoming, Incoming::Closed(_)) {
                    break;
                }
            }
        };
        // A peer that does not answer is gone; nothing more is owed to it.
        let _ = timeout(CLOSE_PATIENCE, pin!(goodbye)).await;
        Ending::Closed(code, reason, detail)
    }
}

/// Why frames could not be written.
#[derive(Clone, Copy)]
pub(super) enum Unwritten {
    /// The client does not read.
    Slow(SlowBound),
    /// It is gone.
    Gone,
}

impl From<Overflow> for Unwritten {
    fn from(overflow: Overflow) -> Self {
        Self::Slow(match overflow {
            Overflow::Bytes => SlowBound::Bytes,
            Overflow::Frames => SlowBound::Frames,
        })
    }
}

impl From<SocketError> for Unwritten {
    fn from(_: SocketError) -> Self {
        Self::Gone
    }
}
