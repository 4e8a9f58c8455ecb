//! One session: what its transport brings goes in with the time, effects come out.
//!
//! A session begins with polling or over a WebSocket, and may move from the first to the second once. Until the client says so
//! (`5`), everything goes out by polls, so nothing is lost or doubled by the move: the client says it when its last poll is
//! answered, and the session answers it (`6`) when there is nothing else to answer it with.
//!
//! Who decides that the client is dead is the owner of the session: [`Session::ping`] sends what shows that the server lives, and
//! [`Effect::Alive`] tells that the client does.

use std::time::{Duration, Instant};

use crate::packet::Packet;
use crate::payload;
use crate::request::{RequestError, Revision};

/// How long a move to a WebSocket may take.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// How long a poll waits while the client has to stop polling.
const POLL_WAITS: Duration = Duration::from_millis(100);

/// What comes of an input, in order.
pub type Effects = Vec<Effect>;

/// What the owner of a session has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Answer the poll that waits with this body.
    AnswerPoll(String),
    /// Send this text over the WebSocket.
    Send(String),
    /// The client has sent this message.
    Message(String),
    /// The client has shown that it lives.
    Alive,
    /// Close the WebSocket that came for a move; the session goes on.
    CloseProbe,
    /// The session is over. A WebSocket is to be closed.
    Ended(End),
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client has said so.
    Goodbye,
    /// The client broke the protocol.
    Broken,
    /// The transport is gone.
    Lost,
}

/// What carries the session.
#[derive(Debug)]
enum Phase {
    Polling {
        /// Whether a poll waits for its answer.
        waits: bool,
        upgrade: Option<Upgrade>,
    },
    WebSocket,
    Ended,
}

/// A WebSocket that the session may move to.
#[derive(Debug)]
struct Upgrade {
    /// When it is given up.
    until: Instant,
    /// When a poll that waits is answered with nothing; only once the client has probed the WebSocket.
    noop_at: Option<Instant>,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    revision: Revision,
    phase: Phase,
    /// Packets that wait for a poll.
    queue: Vec<String>,
    queued_bytes: usize,
}

impl Session {
    /// Begins with polling; the open packet is the answer to the request that begins it, and not the session's to send.
    #[must_use]
    pub fn polling(revision: Revision) -> Self {
        Self::new(revision, Phase::Polling { waits: false, upgrade: None })
    }

    /// Begins over a WebSocket, whose first text has to be the open packet.
    #[must_use]
    pub fn websocket(revision: Revision) -> Self {
        Self::new(revision, Phase::WebSocket)
    }

    fn new(revision: Revision, phase: Phase) -> Self {
        Self { revision, phase, queue: Vec::new(), queued_bytes: 0 }
    }

    /// Returns the revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns how many bytes wait for a poll.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Tells whether the session is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Tells whether polls carry the session.
    #[must_use]
    pub fn is_polling(&self) -> bool {
        matches!(self.phase, Phase::Polling { .. })
    }

    /// Sends a message.
    pub fn message(&mut self, data: &str, effects: &mut Effects) {
        self.send(Packet::Message(data), effects);
    }

    /// Sends a ping, if it is the server that sends them.
    pub fn ping(&mut self, effects: &mut Effects) {
        match self.revision {
            Revision::V4 => self.send(Packet::Ping(""), effects),
            Revision::V3 => {}
        }
    }

    /// Ends the session; a poll that waits is told so.
    pub fn close(&mut self, effects: &mut Effects) {
        self.end(Packet::Close, None, effects);
    }

    fn send(&mut self, packet: Packet<'_>, effects: &mut Effects) {
        match self.phase {
            Phase::Polling { .. } => {
                let text = packet.to_text();
                self.queued_bytes += text.len();
                self.queue.push(text);
                self.answer_poll(effects);
            }
            Phase::WebSocket => effects.push(Effect::Send(packet.to_text())),
            Phase::Ended => {}
        }
    }

    /// Answers a poll that waits, if there is something to answer it with.
    fn answer_poll(&mut self, effects: &mut Effects) {
        if let Phase::Polling { waits, .. } = &mut self.phase
            && *waits
            && !self.queue.is_empty()
        {
            *waits = false;
            let packets = std::mem::take(&mut self.queue);
            self.queued_bytes = 0;
            effects.push(Effect::AnswerPoll(payload::encode(self.revision, &packets)));
        }
    }

    /// Applies a poll. It is answered by [`Effect::AnswerPoll`], now or later.
    ///
    /// # Errors
    /// [`RequestError`] answers it: the session is over or on a WebSocket, or it ends since a poll waits already.
    pub fn poll(&mut self, now: Instant, effects: &mut Effects) -> Result<(), RequestError> {
        match &mut self.phase {
            Phase::Polling { waits: true, .. } => {
                self.end(Packet::Close, Some(End::Broken), effects);
                return Err(RequestError::Overlap);
            }
            Phase::Polling { waits, upgrade } => {
                *waits = true;
                if let Some(Upgrade { noop_at: Some(at), .. }) = upgrade {
                    *at = now + POLL_WAITS;
                }
            }
            Phase::WebSocket => return Err(RequestError::BadRequest),
            Phase::Ended => return Err(RequestError::UnknownSession),
        }
        self.answer_poll(effects);
        Ok(())
    }

    /// Applies that the client has given the poll up that waits. In revision 3 that is how a page leaves; in revision 4 the client
    /// is missed when it answers no ping.
    pub fn poll_aborted(&mut self, effects: &mut Effects) {
        if let Phase::Polling { waits, .. } = &mut self.phase {
            *waits = false;
            if self.revision == Revision::V3 {
                self.end(Packet::Noop, Some(End::Goodbye), effects);
            }
        }
    }

    /// Puts the body of an answer back that its poll did not take.
    pub fn answer_lost(&mut self, body: &str) {
        if self.is_polling() {
            let packets = payload::decode(self.revision, body).unwrap_or_default();
            let packets: Vec<String> = packets.into_iter().map(str::to_owned).collect();
            self.queued_bytes += packets.iter().map(String::len).sum::<usize>();
            self.queue.splice(..0, packets);
        }
    }

    /// Applies the body of a request that brings packets; it is answered `ok`.
    ///
    /// # Errors
    /// [`RequestError`] answers it: the session is over or on a WebSocket, or it ends since the body is none of the protocol.
    pub fn post(&mut self, body: &str, effects: &mut Effects) -> Result<(), RequestError> {
        match self.phase {
            Phase::Polling { .. } => {}
            Phase::WebSocket => return Err(RequestError::BadRequest),
            Phase::Ended => return Err(RequestError::UnknownSession),
        }
        let Ok(packets) = payload::decode(self.revision, body) else {
            self.end(Packet::Close, Some(End::Broken), effects);
            return Err(RequestError::BadRequest);
        };
        for packet in packets {
            self.packet(Packet::parse(packet), effects);
        }
        Ok(())
    }

    /// Applies a packet over the transport that carries the session.
    fn packet(&mut self, packet: Option<Packet<'_>>, effects: &mut Effects) {
        if self.has_ended() {
            return;
        }
        match (packet, self.revision) {
            (Some(Packet::Message(data)), _) => effects.push(Effect::Message(data.to_owned())),
            (Some(Packet::Ping(data)), Revision::V3) => {
                effects.push(Effect::Alive);
                self.send(Packet::Pong(data), effects);
            }
            (Some(Packet::Pong(_)), Revision::V4) => effects.push(Effect::Alive),
            (Some(Packet::Close), _) => self.end(Packet::Noop, Some(End::Goodbye), effects),
            // Without effect, as with the original.
            (Some(Packet::Open(_) | Packet::Upgrade | Packet::Noop), _) => {
                effects.push(Effect::Alive);
            }
            // The heartbeat of the other revision, or no packet.
            (Some(Packet::Ping(_)), Revision::V4)
            | (Some(Packet::Pong(_)), Revision::V3)
            | (None, _) => {
                self.end(Packet::Close, Some(End::Broken), effects);
            }
        }
    }

    /// Applies that a WebSocket came for this session; `false`: it is to be closed, and the session goes on without it.
    pub fn probe(&mut self, now: Instant) -> bool {
        let Phase::Polling { upgrade: upgrade @ None, .. } = &mut self.phase else { return false };
        *upgrade = Some(Upgrade { until: now + UPGRADE_WITHIN, noop_at: None });
        true
    }

    /// Applies that a WebSocket came to another process, which is probed there; `false`: the session cannot move.
    pub fn probe_elsewhere(&mut self, now: Instant) -> bool {
        let can_move = self.probe(now);
        if let Phase::Polling { upgrade: Some(upgrade), .. } = &mut self.phase
            && can_move
        {
            upgrade.noop_at = Some(now + POLL_WAITS);
        }
        can_move
    }

    /// Ends the session here, since the process takes it over to which its WebSocket came; returns what the client was not sent.
    /// `None`: it is not on its way.
    pub fn release(&mut self, effects: &mut Effects) -> Option<Vec<String>> {
        let Phase::Polling { upgrade: Some(_), .. } = self.phase else { return None };
        let queue = std::mem::take(&mut self.queue);
        self.end(Packet::Noop, None, effects);
        Some(queue)
    }

    /// Applies a text of the WebSocket, be it the transport or the one that the session may move to.
    pub fn websocket_text(&mut self, text: &str, now: Instant, effects: &mut Effects) {
        let packet = Packet::parse(text);
        let Phase::Polling { upgrade: Some(upgrade), .. } = &mut self.phase else {
            return self.packet(packet, effects);
        };
        match (packet, upgrade.noop_at) {
            (Some(Packet::Ping("probe")), None) => {
                upgrade.noop_at = Some(now + POLL_WAITS);
                effects.push(Effect::Send(Packet::Pong("probe").to_text()));
            }
            (Some(Packet::Upgrade), Some(_)) => self.upgraded(effects),
            _ => self.end_upgrade(effects),
        }
    }

    fn upgraded(&mut self, effects: &mut Effects) {
        if let Phase::Polling { waits: true, .. } = self.phase {
            let noop = payload::encode(self.revision, &[Packet::Noop.to_text()]);
            effects.push(Effect::AnswerPoll(noop));
        }
        self.phase = Phase::WebSocket;
        self.queued_bytes = 0;
        effects.extend(std::mem::take(&mut self.queue).into_iter().map(Effect::Send));
    }

    fn end_upgrade(&mut self, effects: &mut Effects) {
        if let Phase::Polling { upgrade, .. } = &mut self.phase {
            *upgrade = None;
            effects.push(Effect::CloseProbe);
        }
    }

    /// Applies that the WebSocket is gone: before the move that is the end of the move only.
    pub fn websocket_gone(&mut self, effects: &mut Effects) {
        match &mut self.phase {
            Phase::Polling { upgrade, .. } => *upgrade = None,
            Phase::WebSocket => {
                self.phase = Phase::Ended;
                effects.push(Effect::Ended(End::Lost));
            }
            Phase::Ended => {}
        }
    }

    /// Returns when [`Session::tick`] is due.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        let Phase::Polling { waits, upgrade: Some(upgrade) } = &self.phase else { return None };
        let noop_at = upgrade.noop_at.filter(|_| *waits);
        Some(noop_at.map_or(upgrade.until, |at| at.min(upgrade.until)))
    }

    /// Applies the passing of time.
    pub fn tick(&mut self, now: Instant, effects: &mut Effects) {
        let Phase::Polling { waits, upgrade: Some(upgrade) } = &self.phase else { return };
        if now >= upgrade.until {
            return self.end_upgrade(effects);
        }
        if *waits && upgrade.noop_at.is_some_and(|at| now >= at) {
            self.send(Packet::Noop, effects);
        }
    }

    /// Ends the session: with this packet for a poll that waits, and this end unless it is the owner's own.
    fn end(&mut self, last: Packet<'_>, end: Option<End>, effects: &mut Effects) {
        match self.phase {
            Phase::Polling { waits: true, .. } => {
                self.queue.push(last.to_text());
                self.answer_poll(effects);
            }
            Phase::Polling { waits: false, .. } | Phase::WebSocket => {}
            Phase::Ended => return,
        }
        self.phase = Phase::Ended;
        self.queue = Vec::new();
        self.queued_bytes = 0;
        effects.extend(end.map(Effect::Ended));
    }
}
