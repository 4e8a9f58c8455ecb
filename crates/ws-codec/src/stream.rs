//! A WebSocket over a stream whose handshake is done.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::decoder::{Decoded, Decoder, Message};
use crate::frame::{Closing, Frame, Violation};
use crate::scratch::{self, Part};

/// Bytes of queued frames after which [`WebSocket::is_full`] asks for a flush.
const COLLECTED: usize = 64 * 1024;

/// The code that answers a close frame without a code (RFC 6455 §7.4.1).
const NORMAL: u16 = 1000;

/// Why a connection cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocketError {
    /// The stream has ended or is broken.
    Disconnected,
    /// The client broke the protocol. Close with [`WebSocket::close`]; further input is discarded.
    Violated(Violation),
}

/// How far the closing handshake is (RFC 6455 §7.1).
///
/// An endpoint sends one close frame and nothing after it (§5.5.1). Chromium reports a second close frame as an
/// abnormal end, so that the page sees 1006 instead of the code of the first.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The client closed first; the answer to its close frame is queued.
    Answering(Option<Box<Closing>>),
    /// Our close frame is queued; the client's close frame is its answer and gets none.
    Closing,
    /// The client broke the protocol: input is discarded, and our close frame will say why.
    Violated,
    /// Nothing more is sent or decoded.
    Closed,
}

impl State {
    /// Tells whether frames of the client are still decoded.
    fn is_reading(&self) -> bool {
        matches!(self, Self::Open | Self::Closing)
    }
}

/// The server's side of one connection.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: S,
    decoder: Decoder,
    state: State,
    /// Input that is not decoded yet.
    rest: Option<Box<Part>>,
    /// Output that is not written yet.
    out: Option<Box<Part>>,
    /// The newest ping without a pong; older ones need none (§5.5.3).
    ping: Option<Box<[u8]>>,
}

/// Copies input that is not decoded yet, if there is any: an idle connection owns no buffer.
fn rest(bytes: &[u8]) -> Option<Box<Part>> {
    (!bytes.is_empty()).then(|| Box::new(Part { bytes: bytes.to_vec(), done: 0 }))
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Takes over a stream after its handshake; `read` is what was read of it beyond the handshake.
    #[must_use]
    pub fn new(stream: S, read: &[u8], limit: usize) -> Self {
        Self {
            stream,
            decoder: Decoder::new(limit),
            state: State::Open,
            rest: rest(read),
            out: None,
            ping: None,
        }
    }

    /// Returns the bytes of buffers that the connection owns.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let ping = self.ping.as_ref().map_or(0, |ping| ping.len());
        let parts = self.rest.iter().chain(&self.out);
        parts.map(|part| part.bytes.capacity()).sum::<usize>() + self.decoder.buffered() + ping
    }

    /// Waits for the next message. A ping is answered, and a close frame too, before it is returned. Cancel-safe.
    ///
    /// # Errors
    /// [`WebSocketError`] says why there is none.
    pub async fn recv(&mut self) -> Result<Message, WebSocketError> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Polls for the next message, as [`WebSocket::recv`].
    ///
    /// # Errors
    /// As there.
    pub fn poll_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Message, WebSocketError>> {
        loop {
            if let State::Answering(_) = self.state {
                return self.poll_answer(context);
            }
            if self.ping.is_some()
                && let Poll::Ready(Err(ended)) = self.poll_flush(context)
            {
                return Poll::Ready(Err(ended));
            }
            if self.state.is_reading()
                && let Some(message) = self.next_of_rest()?
            {
                return Poll::Ready(Ok(message));
            }
            if let State::Answering(_) = self.state {
                // The close frame was in `rest`: write the answer before more input is awaited.
                continue;
            }
            match ready!(self.poll_read(context)) {
                Ok(Some(message)) => return Poll::Ready(Ok(message)),
                Ok(None) => {}
                Err(ended) => return Poll::Ready(Err(ended)),
            }
        }
    }

    /// Waits until the answer to the client's close frame is written.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, WebSocketError>> {
        if ready!(self.poll_flush(context)).is_err() {
            return Poll::Ready(Err(WebSocketError::Disconnected));
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Answering(closing) => {
                Poll::Ready(Ok(Message::Close(closing.map(|closing| *closing))))
            }
            State::Open | State::Closing | State::Violated | State::Closed => {
                Poll::Ready(Err(WebSocketError::Disconnected))
            }
        }
    }

    /// Reads once, through the buffer of the thread; returns a message if one was complete.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, WebSocketError>> {
        scratch::reading(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            let arrived = buffer.filled_mut();
            if read.is_err() || arrived.is_empty() {
                return Poll::Ready(Err(WebSocketError::Disconnected));
            }
            Poll::Ready(self.arrived(arrived))
        })
    }

    fn arrived(&mut self, arrived: &mut [u8]) -> Result<Option<Message>, WebSocketError> {
        if !self.state.is_reading() {
            return Ok(None);
        }
        if let Some(rest) = &mut self.rest {
            rest.bytes.drain(..std::mem::take(&mut rest.done));
            rest.bytes.extend_from_slice(arrived);
            return self.next_of_rest();
        }
        let (done, message) = self.decode_all(arrived)?;
        self.rest = rest(&arrived[done..]);
        Ok(message)
    }

    /// Decodes input that arrived before.
    fn next_of_rest(&mut self) -> Result<Option<Message>, WebSocketError> {
        let Some(mut rest) = self.rest.take() else { return Ok(None) };
        let (done, message) = self.decode_all(&mut rest.bytes[rest.done..])?;
        rest.done += done;
        if rest.done < rest.bytes.len() {
            self.rest = Some(rest);
        }
        Ok(message)
    }

    /// Reads frames up to the end of a message; returns how many bytes they were.
    fn decode_all(&mut self, input: &mut [u8]) -> Result<(usize, Option<Message>), WebSocketError> {
        let mut done = 0;
        while self.state.is_reading() {
            let (used, message) = self.decode(&mut input[done..])?;
            done += used;
            if used == 0 || message.is_some() {
                return Ok((done, message));
            }
        }
        Ok((done, None))
    }

    /// Reads one frame; `(0, None)` if it is not complete.
    fn decode(&mut self, input: &mut [u8]) -> Result<(usize, Option<Message>), WebSocketError> {
        match self.decoder.decode(input) {
            Ok(Decoded::Incomplete) => Ok((0, None)),
            Ok(Decoded::Frame(used, message)) => Ok((used, self.react(message))),
            Err(violation) => {
                if self.state == State::Closing {
                    // Our close frame is out already, so the violation cannot be reported any more.
                    self.state = State::Closed;
                    return Err(WebSocketError::Disconnected);
                }
                self.state = State::Violated;
                Err(WebSocketError::Violated(violation))
            }
        }
    }

    /// Queues the answers to control frames.
    fn react(&mut self, message: Option<Message>) -> Option<Message> {
        match message? {
            Message::Ping(payload) => {
                if self.state == State::Open {
                    self.ping = Some(payload.clone());
                }
                Some(Message::Ping(payload))
            }
            Message::Close(closing) if self.state == State::Closing => {
                self.state = State::Closed;
                Some(Message::Close(closing))
            }
            Message::Close(closing) => {
                let code = closing.as_ref().map_or(NORMAL, |closing| closing.code);
                self.queue_close(code, "", State::Answering(closing.map(Box::new)));
                // `poll_answer` returns the message once the answer is written.
                None
            }
            message @ (Message::Text(_) | Message::Binary(_) | Message::Pong) => Some(message),
        }
    }

    /// Queues a frame for [`WebSocket::flush`]. After a close frame nothing may be sent (RFC 6455 §5.5.1), so the
    /// frame is dropped then.
    pub fn queue(&mut self, frame: &Frame<'_>) {
        if self.state == State::Open {
            self.write_frame(frame);
        }
    }

    fn write_frame(&mut self, frame: &Frame<'_>) {
        let out = self.out.get_or_insert_with(scratch::borrow);
        frame.write(&mut out.bytes);
    }

    /// Queues our one close frame. An unanswered ping needs no pong any more (RFC 6455 §5.5.2), and a pong behind
    /// the close frame would break §5.5.1.
    fn queue_close(&mut self, code: u16, reason: &str, next: State) {
        self.ping = None;
        self.write_frame(&Frame::Close(Some((code, reason))));
        self.state = next;
    }

    /// Tells whether the queued frames should be flushed before more are queued.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.out.as_ref().is_some_and(|out| out.bytes.len() >= COLLECTED)
    }

    /// Writes what is queued. Cancel-safe: the next call continues where this one stopped.
    ///
    /// # Errors
    /// [`WebSocketError::Disconnected`] if the stream has broken.
    pub async fn flush(&mut self) -> Result<(), WebSocketError> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Polls until everything is written, as [`WebSocket::flush`].
    ///
    /// # Errors
    /// As there.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        loop {
            while let Some(out) = &mut self.out
                && out.done < out.bytes.len()
            {
                let left = &out.bytes[out.done..];
                match ready!(Pin::new(&mut self.stream).poll_write(context, left)) {
                    Ok(written) if written > 0 => out.done += written,
                    _ => return Poll::Ready(Err(WebSocketError::Disconnected)),
                }
            }
            if let Some(out) = self.out.take() {
                scratch::give_back(out);
            }
            // Queue the pong last: while the client does not read, any number of pings costs one pong.
            let Some(ping) = self.ping.take() else { return Poll::Ready(Ok(())) };
            self.write_frame(&Frame::Pong(&ping));
        }
    }

    /// Sends a close frame with this code and reason, unless one was sent already. After a violation no answer is
    /// expected, so the stream is shut down for writing as well.
    ///
    /// # Errors
    /// [`WebSocketError::Disconnected`] if the stream has broken.
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<(), WebSocketError> {
        match self.state {
            State::Open => self.queue_close(code, reason, State::Closing),
            State::Answering(_) | State::Closing | State::Closed => {}
            State::Violated => return self.close_violated(code, reason).await,
        }
        self.flush().await
    }

    async fn close_violated(&mut self, code: u16, reason: &str) -> Result<(), WebSocketError> {
        self.queue_close(code, reason, State::Closed);
        self.flush().await?;
        let mut stream = Pin::new(&mut self.stream);
        poll_fn(|context| stream.as_mut().poll_shutdown(context))
            .await
            .map_err(|_| WebSocketError::Disconnected)
    }
}
