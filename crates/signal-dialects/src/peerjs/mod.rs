//! `PeerJS`: a client has an id, and says something to another id.
//!
//! An id is a room for one member, so it is held by one client of the whole cluster. The key of the member is made of id and
//! token: a client that comes back with its token takes its id over, another one finds it taken. It hears so only after the
//! holder was asked whether it still lives, since an id whose client has lost its network would otherwise be taken for as
//! long as that goes unnoticed. Messages to an id that nobody holds wait for a while, and end with one EXPIRE.

mod message;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use signal_protocol::{CloseCode, PeerKey, RoomId, RoomTag};

use self::message::{Message, error, expire};
use crate::dialect::{
    Dialect, DialectEffect, DialectName, DrainTime, Effects, IgnoredReason, PostOutcome,
    RETRY_AFTER, RoomJoin,
};
use crate::frame::Frame;
use crate::posts::{Absent, PostQueues, WhenGone};

/// The longest id, and the longest token, in bytes.
const TEXT_BYTES: usize = 1_024;

/// How long an id is asked for that another client holds: longer than its holder has to answer, and than a log takes to remove the
/// member of a node that is dead.
const CHALLENGE: Duration = Duration::from_millis(2_500);

/// How long the holder of an id has to answer a ping.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long an id is asked for while the log does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Frames that may wait until the client holds its id.
const EARLY: usize = 64;

/// Asks the holder of an id whether it lives. No client can say it: what a client says has a type.
const CHALLENGE_DATA: &str = r#"{"challenge":true}"#;

/// One connection of `PeerJS`.
#[derive(Debug)]
pub struct PeerJs {
    id: String,
    room: RoomId,
    key: Option<PeerKey>,
    state: State,
    posts: PostQueues,
    requests: u64,
    /// What the client said before it held its id.
    early: Vec<String>,
    /// When the connection ends unless the client is heard before.
    answer_by: Option<Instant>,
}

/// Whether the client holds its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The handshake was no good.
    Rejected,
    /// The join is not answered; until when it is repeated, if it was refused before.
    Joining(Option<Instant>),
    /// The join is repeated at the first moment, until the second one.
    Waiting(Instant, Instant),
    Open,
    /// The client has given its id up, and may still say something.
    Left,
}

impl PeerJs {
    /// Takes id, token and key as the handshake carries them.
    #[must_use]
    pub fn new(id: &str, token: &str, key: &str) -> Self {
        let is_text = |text: &str| (1..=TEXT_BYTES).contains(&text.len());
        let is_good = is_text(id) && is_text(token) && is_text(key);
        Self {
            id: id.to_owned(),
            room: RoomId::of_dialect(RoomTag::PeerJs, id),
            key: is_good.then(|| key_of(id, token)).flatten(),
            state: State::Rejected,
            posts: PostQueues::default(),
            requests: 0,
            early: Vec::new(),
            answer_by: None,
        }
    }

    fn join(&mut self, until: Option<Instant>, effects: &mut Effects) {
        self.requests += 1;
        self.state = State::Joining(until);
        let (room, name, key) = (self.room.clone(), self.id.clone(), self.key.clone());
        effects.push(DialectEffect::Join(RoomJoin::new(room, name, key, self.requests)));
    }

    fn opened(&mut self, now: Instant, effects: &mut Effects) {
        self.state = State::Open;
        effects.push(DialectEffect::Send(r#"{"type":"OPEN"}"#.to_owned()));
        for text in std::mem::take(&mut self.early) {
            self.apply(&text, now, effects);
        }
    }

    /// Applies that the join was refused.
    fn refused(&mut self, code: &str, now: Instant, effects: &mut Effects) {
        let until = if let State::Joining(until) = self.state { until } else { None };
        match (code, until) {
            ("room_full", None) => {
                self.challenge(now, effects);
                self.state = State::Waiting(now + RETRY_AFTER, now + CHALLENGE);
            }
            ("unavailable", None) => {
                self.state = State::Waiting(now + RETRY_AFTER, now + PATIENCE);
            }
            ("room_full" | "unavailable", Some(until)) if now < until => {
                self.state = State::Waiting(now + RETRY_AFTER, until);
            }
            ("room_full", Some(_)) => {
                end(effects, ("ID-TAKEN", "ID is taken"), CloseCode::Replaced);
            }
            ("unavailable" | "internal", _) => {
                end(effects, ("ERROR", "The server is unavailable"), CloseCode::Unavailable);
            }
            ("limit_exceeded" | "rate_limited", _) => {
                let text = "Server has reached its concurrent user limit";
                end(effects, ("ERROR", text), CloseCode::RateLimit);
            }
            _ => end(effects, ("ERROR", "Invalid token provided"), CloseCode::Unauthorized),
        }
    }

    /// Has the holder of the id show that it lives.
    fn challenge(&mut self, now: Instant, effects: &mut Effects) {
        let data = RawValue::from_string(CHALLENGE_DATA.to_owned());
        let data = data.expect("the constant is JSON");
        let to = (&self.room, &*self.id);
        self.posts.push(to, data, WhenGone::Drop, (now, effects));
    }

    /// Applies what was posted to the id: a message, as its sender's node wrote it, or the question of a challenger.
    fn posted(&mut self, data: &RawValue, now: Instant, effects: &mut Effects) {
        if self.state != State::Open {
            return;
        }
        if data.get() == CHALLENGE_DATA {
            self.answer_by.get_or_insert(now + ANSWER_WITHIN);
            return effects.push(DialectEffect::Ping);
        }
        effects.push(DialectEffect::Send(data.get().to_owned()));
    }

    fn apply(&mut self, text: &str, now: Instant, effects: &mut Effects) {
        match Message::read(text, &self.id) {
            Some(Message::Heartbeat) => {}
            Some(Message::Relay { dst, data, when_gone }) if dst.len() <= TEXT_BYTES => {
                let room = RoomId::of_dialect(RoomTag::PeerJs, &dst);
                self.posts.push((&room, &dst), data, when_gone, (now, effects));
            }
            Some(Message::Relay { .. }) => {
                effects.push(DialectEffect::Ignore(IgnoredReason::Limit));
            }
            Some(Message::Leave) if self.state == State::Open => self.leave(effects),
            Some(Message::Leave | Message::Unknown) => {
                effects.push(DialectEffect::Ignore(IgnoredReason::UnknownType));
            }
            None => effects.push(DialectEffect::Ignore(IgnoredReason::Malformed)),
        }
    }

    fn leave(&mut self, effects: &mut Effects) {
        self.requests += 1;
        self.state = State::Left;
        effects.push(DialectEffect::Leave { room: self.room.clone(), id: self.requests });
    }
}

/// Says why there is no connection, and ends it.
fn end(effects: &mut Effects, (kind, msg): (&str, &str), code: CloseCode) {
    effects.push(DialectEffect::Send(error(kind, msg)));
    effects.push(DialectEffect::Close(code));
}

/// The key of whoever shows this token for this id.
fn key_of(id: &str, token: &str) -> Option<PeerKey> {
    let digest = Sha256::new().chain_update(id).chain_update([0]).chain_update(token).finalize();
    URL_SAFE_NO_PAD.encode(&digest[..16]).parse().ok()
}

impl Dialect for PeerJs {
    fn name(&self) -> DialectName {
        DialectName::PeerJs
    }

    fn start(&mut self, _now: Instant, effects: &mut Effects) {
        if self.key.is_some() {
            return self.join(None, effects);
        }
        let text = "No id, token, or key supplied to websocket server";
        end(effects, ("ERROR", text), CloseCode::ProtocolError);
    }

    fn on_text(&mut self, text: &str, now: Instant, effects: &mut Effects) {
        self.answer_by = None;
        match self.state {
            State::Open | State::Left => self.apply(text, now, effects),
            State::Joining(_) | State::Waiting(..) if self.early.len() < EARLY => {
                self.early.push(text.to_owned());
            }
            State::Rejected | State::Joining(_) | State::Waiting(..) => {
                effects.push(DialectEffect::Ignore(IgnoredReason::Limit));
            }
        }
    }

    fn on_control(&mut self) {
        self.answer_by = None;
    }

    fn on_frame(&mut self, frame: &str, now: Instant, effects: &mut Effects) {
        let own = Some(self.requests);
        match Frame::read(frame) {
            Frame::Joined { id, .. } if id == own => self.opened(now, effects),
            Frame::Refused { id, code, .. } if id == own && self.state != State::Open => {
                self.refused(&code, now, effects);
            }
            // The handshake carried a token that opens nothing, or its page may not connect: the node closes.
            Frame::Refused { id: None, code, .. }
                if self.state == State::Rejected && code != "unavailable" =>
            {
                effects.push(DialectEffect::Send(error("ERROR", "Invalid token provided")));
            }
            Frame::Posted { room, data, .. } if *room == *self.room.as_str() => {
                self.posted(data, now, effects);
            }
            Frame::Welcome
            | Frame::Joined { .. }
            | Frame::Settled { .. }
            | Frame::SignalRefused { .. }
            | Frame::PeerUpdated { .. }
            | Frame::Refused { .. }
            | Frame::Done { .. }
            | Frame::Left { .. }
            | Frame::PeerJoined { .. }
            | Frame::PeerLeft { .. }
            | Frame::Reset { .. }
            | Frame::Posted { .. }
            | Frame::Other => {}
        }
    }

    fn on_posted(
        &mut self,
        room: &RoomId,
        outcome: PostOutcome,
        now: Instant,
        effects: &mut Effects,
    ) {
        if let Some(Absent(absent)) = self.posts.answered(room, outcome, now, effects) {
            effects.push(DialectEffect::Send(expire(&absent, &self.id)));
        }
    }

    /// The client connects again with its id, over the same node or another one.
    fn on_lost(&mut self, _room: &RoomId, _now: Instant, effects: &mut Effects) {
        effects.push(DialectEffect::Close(CloseCode::Unavailable));
    }

    fn next_tick(&self) -> Option<Instant> {
        let retry = if let State::Waiting(at, _) = self.state { Some(at) } else { None };
        retry.into_iter().chain(self.answer_by).chain(self.posts.next_retry()).min()
    }

    fn tick(&mut self, now: Instant, effects: &mut Effects) {
        self.posts.tick(now, effects);
        if let State::Waiting(at, until) = self.state
            && at <= now
        {
            self.join(Some(until), effects);
        }
        if self.answer_by.is_some_and(|by| by <= now) {
            self.answer_by = None;
            // Before the close, which waits for an answer of the client that is gone.
            self.leave(effects);
            effects.push(DialectEffect::Close(CloseCode::PingTimeout));
        }
    }

    /// The client does not connect again by itself: its application has to call `reconnect()`.
    fn drain_time(&self) -> DrainTime {
        DrainTime::Deadline
    }
}
