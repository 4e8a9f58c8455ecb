//! The socket of a session whose client speaks Engine.IO, whatever carries it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use engine_io::{Effect, Effects, End, RequestError, Revision, Session};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep_until};

use super::carrier::Carrier;
use super::sessions::{Answer, Request};
use crate::session::{Incoming, MovedSession, Socket, SocketError};

/// Bytes that may wait for a poll before the session waits for the client.
const QUEUED: usize = 64 * 1024;

/// Frames that may wait for the session while it waits for a poll.
const UNREAD: usize = 64;

/// A session on its way to another node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MovedEngine {
    pub(super) revision: Revision,
    /// The packets that the client has not been sent yet.
    pub(super) packets: Vec<String>,
    pub(super) session: MovedSession,
}

type Received = Result<Incoming<String>, SocketError>;

/// An Engine.IO session, as a socket of text frames: each is one message.
pub(super) struct EngineSocket {
    session: Session,
    /// Where the requests of a session come that began with polling.
    requests: Option<mpsc::Receiver<Request>>,
    /// The poll that waits.
    poll: Option<oneshot::Sender<Answer>>,
    /// The node that takes the session over.
    release: Option<oneshot::Sender<Answer>>,
    /// The WebSocket that carries the session, or that it may move to.
    carrier: Option<Carrier>,
    incoming: VecDeque<Received>,
    effects: Effects,
    /// Wakes the task when a move takes too long.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether something is queued on the WebSocket that is no frame of the owner, who would flush it.
    must_flush: bool,
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl EngineSocket {
    /// Begins a session over a WebSocket, whose first text is the open packet.
    pub(super) fn over_websocket(revision: Revision, mut carrier: Carrier, open: String) -> Self {
        carrier.queue(open);
        let socket = Self::new(Session::websocket(revision), None);
        Self { carrier: Some(carrier), must_flush: true, ..socket }
    }

    /// Begins a session with polling.
    pub(super) fn over_polling(revision: Revision, requests: mpsc::Receiver<Request>) -> Self {
        Self::new(Session::polling(revision), Some(requests))
    }

    /// Goes on with a session of another node over the WebSocket that came here, with what the client was not sent there.
    pub(super) fn moved(revision: Revision, mut carrier: Carrier, packets: Vec<String>) -> Self {
        for packet in packets {
            carrier.queue(packet);
        }
        let socket = Self::new(Session::websocket(revision), None);
        Self { carrier: Some(carrier), must_flush: true, ..socket }
    }

    fn new(session: Session, requests: Option<mpsc::Receiver<Request>>) -> Self {
        Self {
            session,
            requests,
            poll: None,
            release: None,
            carrier: None,
            incoming: VecDeque::new(),
            effects: Effects::new(),
            timer: None,
            must_flush: false,
        }
    }

    fn apply(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Send(text) => {
                    if let Some(carrier) = &mut self.carrier {
                        carrier.queue(text);
                        self.must_flush = true;
                    }
                }
                Effect::AnswerPoll(body) => self.answer_poll(body),
                Effect::CloseProbe => self.close_carrier(),
                Effect::Message(text) => self.incoming.push_back(Ok(Incoming::Text(text))),
                Effect::Alive => self.incoming.push_back(Ok(Incoming::Control)),
                Effect::Ended(end) => self.incoming.push_back(match end {
                    End::Goodbye => Ok(Incoming::Closed(Some(1000))),
                    End::Broken => Err(SocketError::Broken(1002)),
                    End::Lost => Err(SocketError::Gone),
                }),
            }
        }
    }

    fn answer_poll(&mut self, body: String) {
        let Some(poll) = self.poll.take() else { return };
        if let Err(Ok(body)) = poll.send(Ok(body)) {
            self.session.answer_lost(&body);
            self.session.poll_aborted(&mut self.effects);
        }
    }

    /// Closes a WebSocket that does not carry the session.
    fn close_carrier(&mut self) {
        if let Some(carrier) = self.carrier.take() {
            close(carrier);
        }
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Poll(answer) => match self.session.poll(now(), &mut self.effects) {
                Ok(()) => {
                    self.poll = Some(answer);
                    // A client that polls lives, and each of its requests counts towards its rate.
                    self.incoming.push_back(Ok(Incoming::Control));
                }
                Err(error) => drop(answer.send(Err(error))),
            },
            Request::Post(body, answer) => {
                let taken = self.session.post(&body, &mut self.effects);
                // A client that is gone learns nothing.
                let _ = answer.send(taken.map(|()| "ok".to_owned()));
            }
            Request::Probe(answer) => {
                let can_move = self.session.probe_elsewhere(now());
                let can_move = can_move.then(|| "ok".to_owned());
                let _ = answer.send(can_move.ok_or(RequestError::BadRequest));
            }
            Request::Release(answer) => {
                self.release = Some(answer);
                self.incoming.push_back(Ok(Incoming::Release));
            }
            Request::WebSocket(carrier) if self.session.probe(now()) => {
                self.carrier = Some(carrier);
            }
            Request::WebSocket(carrier) => close(carrier),
        }
        self.apply();
    }

    fn on_carrier(&mut self, incoming: Received) {
        match incoming {
            Ok(Incoming::Text(text)) => {
                self.session.websocket_text(&text, now(), &mut self.effects);
                self.apply();
            }
            Ok(Incoming::Control | Incoming::Release) => {
                self.incoming.push_back(Ok(Incoming::Control));
            }
            Ok(Incoming::Binary | Incoming::Closed(_)) | Err(_) if self.session.is_polling() => {
                self.carrier = None;
                self.session.websocket_gone(&mut self.effects);
            }
            // No event here has attachments.
            Ok(Incoming::Binary) => self.incoming.push_back(Err(SocketError::Broken(1003))),
            // A close without a code is a goodbye, too (RFC 6455 §7.1.5).
            Ok(Incoming::Closed(code)) => {
                self.incoming.push_back(Ok(Incoming::Closed(code.or(Some(1005)))));
            }
            Err(error) => self.incoming.push_back(Err(error)),
        }
    }

    /// Takes the next request, or that the poll which waits was given up; pending if there is neither.
    fn poll_requests(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(Poll::Ready(())) = self.poll.as_mut().map(|poll| poll.poll_closed(context)) {
            self.poll = None;
            self.session.poll_aborted(&mut self.effects);
            self.apply();
            return Poll::Ready(());
        }
        let Some(requests) = &mut self.requests else { return Poll::Pending };
        match requests.poll_recv(context) {
            Poll::Ready(Some(request)) => {
                self.on_request(request);
                Poll::Ready(())
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Waits for the next deadline of the session; pending if there is none.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.session.next_tick().map(tokio::time::Instant::from_std) else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        if timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.timer = None;
        self.session.tick(now(), &mut self.effects);
        self.apply();
        Poll::Ready(())
    }

    /// Takes what any transport brings; pending if none brings something.
    fn poll_transports(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(carrier) = &mut self.carrier {
            if self.must_flush && carrier.poll_flush(context).is_ready() {
                self.must_flush = false;
            }
            if let Poll::Ready(incoming) = carrier.poll_recv(context) {
                self.on_carrier(incoming);
                return Poll::Ready(());
            }
        }
        if self.poll_requests(context).is_ready() {
            return Poll::Ready(());
        }
        self.poll_timer(context)
    }
}

/// Closes a WebSocket beside the session.
fn close(mut carrier: Carrier) {
    tokio::spawn(async move { carrier.close(1000, "").await });
}

impl Socket for EngineSocket {
    type Text = String;

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        loop {
            if let Some(incoming) = self.incoming.pop_front() {
                return Poll::Ready(incoming);
            }
            if self.session.has_ended() && self.carrier.is_none() {
                return Poll::Ready(Err(SocketError::Gone));
            }
            if self.poll_transports(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn queue(&mut self, frame: Bytes) {
        let text = std::str::from_utf8(&frame).unwrap_or_default();
        self.session.message(text, &mut self.effects);
        self.apply();
    }

    /// Sends a ping of the WebSocket as well, which tells of a client of the third revision that it lives.
    fn queue_ping(&mut self) {
        self.session.ping(&mut self.effects);
        self.apply();
        if let Some(carrier) = self.carrier.as_mut().filter(|_| !self.session.is_polling()) {
            carrier.queue_ping();
        }
    }

    fn is_full(&self) -> bool {
        let is_full = self.carrier.as_ref().is_some_and(Carrier::is_full);
        is_full || self.session.queued_bytes() >= QUEUED
    }

    /// Is ready while a poll may still take more: the session reads nothing while it waits, and a request would wait for a poll.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        while self.session.queued_bytes() >= QUEUED {
            if self.incoming.len() >= UNREAD || self.poll_requests(context).is_pending() {
                return Poll::Pending;
            }
        }
        self.carrier.as_mut().map_or(Poll::Ready(Ok(())), |carrier| carrier.poll_flush(context))
    }

    fn release(&mut self, session: Option<MovedSession>) {
        let Some(answer) = self.release.take() else { return };
        let revision = self.session.revision();
        let moved = session.zip(self.session.release(&mut self.effects));
        self.apply();
        let moved = moved.map(|(session, packets)| MovedEngine { revision, packets, session });
        let text = moved.and_then(|moved| serde_json::to_string(&moved).ok());
        let _ = answer.send(text.ok_or(RequestError::BadRequest));
    }

    async fn close(&mut self, code: u16, reason: &str) {
        self.session.close(&mut self.effects);
        self.apply();
        if let Some(carrier) = &mut self.carrier {
            carrier.close(code, reason).await;
        }
    }
}
