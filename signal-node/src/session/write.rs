//! Writing what waits for a socket, and ending it.

use std::pin::pin;
use std::time::Duration;

use signal_protocol::CloseCode;
use tokio::time::timeout;

use super::run::{Ending, Session};
use super::socket::{Incoming, Interrupted, Socket};
use crate::metrics::SlowBound;
use crate::room::{Delivery, Mark, Overflow};

/// A socket that takes nothing for this long is a slow consumer's.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long the other side has to answer our close frame (RFC 6455 §7.1.1).
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Frames written before the socket is listened to again.
const FRAMES_PER_TURN: usize = 64;

impl<S: Socket> Session<'_, S> {
    /// Writes some of what waits, then lets the socket be read again.
    pub(super) async fn write(&mut self) -> Result<(), Unwritten> {
        let written = timeout(WRITE_PATIENCE, self.write_some()).await;
        let marks = written.map_err(|_| Unwritten::Slow(SlowBound::Time))??;
        for mark in marks {
            self.machine.marked(&mark);
            if let Mark::Refused(room) | Mark::Left(room) | Mark::Ended(room, _) = mark {
                self.handles.remove(&room);
            }
        }
        Ok(())
    }

    async fn write_some(&mut self) -> Result<Vec<Mark>, Unwritten> {
        let mut marks = Vec::new();
        for _ in 0..FRAMES_PER_TURN {
            let Some(Delivery { frame, mark }) = self.outbox.take()? else { break };
            self.socket.feed(frame).await?;
            self.context.metrics.sent.inc();
            marks.extend(mark);
        }
        self.socket.flush().await?;
        Ok(marks)
    }

    pub(super) async fn close(&mut self, code: CloseCode) -> Ending {
        if code != CloseCode::SlowConsumer {
            // What was said before the end is part of it, as far as the client still listens.
            while timeout(CLOSE_PATIENCE, self.write_some())
                .await
                .is_ok_and(|w| w.is_ok_and(|m| !m.is_empty()))
            {}
        }
        self.close_raw(code.number(), code.name()).await
    }

    /// Closes, and waits a moment for the answer, so that the code is not lost to a reset.
    pub(super) async fn close_raw(&mut self, code: u16, reason: &'static str) -> Ending {
        let goodbye = async {
            self.socket.close(code, reason).await;
            while let Ok(incoming) = self.socket.recv().await {
                if matches!(incoming, Incoming::Closed(_)) {
                    break;
                }
            }
        };
        // A peer that does not answer is gone; nothing more is owed to it.
        let _ = timeout(CLOSE_PATIENCE, pin!(goodbye)).await;
        Ending::Closed(code, reason)
    }
}

/// Why frames could not be written.
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

impl From<Interrupted> for Unwritten {
    fn from(_: Interrupted) -> Self {
        Self::Gone
    }
}
