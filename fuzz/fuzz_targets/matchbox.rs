//! What a client of matchbox says, and what the cluster answers: it is told its UUID once and first, nobody comes twice or leaves
//! who was not told, one join of each room and one post for each client is under way, and what it says carries its own UUID.

#![no_main]

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signal_dialects::{Dialect, DialectEffect, Effects, Matchbox, PostOutcome};
use signal_protocol::{PeerKey, RoomId, RoomTag};

/// What the session has under way for the client, and what the client was told.
#[derive(Default)]
struct Session {
    id: Option<Value>,
    joins: BTreeMap<u64, RoomId>,
    rooms: Vec<RoomId>,
    asks_number: bool,
    posts: HashSet<RoomId>,
    peers: HashSet<String>,
    /// Whether somebody was there before the client, whose leave is told and whose coming was not.
    had_others: bool,
    closed: bool,
}

fn key(byte: u8) -> PeerKey {
    char::from(b'A' + byte % 4).to_string().repeat(22).parse().expect("a key")
}

impl Session {
    fn told(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).expect("the client is sent JSON");
        if let Some(id) = frame.get("IdAssigned") {
            assert!(self.id.replace(id.clone()).is_none(), "a second UUID ends the client");
        }
        assert!(self.id.is_some(), "the UUID comes first");
        let peer = |kind: &str| frame[kind].as_str().map(str::to_owned);
        if let Some(peer) = peer("NewPeer") {
            assert!(self.peers.insert(peer), "the same peer comes twice");
        }
        if let Some(peer) = peer("PeerLeft") {
            assert!(self.peers.remove(&peer) || self.had_others, "who leaves was never there");
        }
    }

    fn apply(&mut self, effects: &mut Effects) {
        for effect in effects.drain(..) {
            match effect {
                DialectEffect::Send(text) => self.told(&text),
                DialectEffect::Join(join) => {
                    let is_asked = self.joins.values().any(|room| *room == join.room);
                    assert!(!is_asked, "a second join of one room");
                    self.joins.insert(join.id, join.room);
                }
                DialectEffect::Advance { .. } => {
                    assert!(!self.asks_number, "a second question for the number");
                    self.asks_number = true;
                }
                DialectEffect::Post(post) => {
                    let data: Value =
                        serde_json::from_str(post.data.get()).expect("a post is JSON");
                    let id = self.id.as_ref();
                    assert!(id.is_none_or(|id| data["Signal"]["sender"] == *id), "a foreign UUID");
                    assert!(self.posts.insert(post.room), "a second post in flight");
                }
                DialectEffect::Close(_) => self.closed = true,
                DialectEffect::Leave { .. } => panic!("a client leaves with its connection"),
                DialectEffect::Authenticate(_) | DialectEffect::Signal(_) => {
                    panic!("it is no member that signals")
                }
                DialectEffect::Ping | DialectEffect::Ignore(_) => {}
            }
        }
    }

    /// Answers the oldest join, as the byte says.
    fn answer(&mut self, how: u8) -> Option<String> {
        let (id, room) = self.joins.pop_first()?;
        let code = match how % 4 {
            0 | 1 => {
                let peers = if how.is_multiple_of(4) { String::new() } else { line(how) };
                self.had_others |= !peers.is_empty();
                self.rooms.push(room.clone());
                return Some(format!(
                    r#"{{"type":"joined","id":{id},"room":"{room}","self":{{"id":"p_x","n":2}},"peers":[{peers}]}}"#
                ));
            }
            2 => "room_locked",
            _ => "unavailable",
        };
        Some(format!(r#"{{"type":"error","id":{id},"code":"{code}","message":""}}"#))
    }

    fn named(&self) -> Option<&RoomId> {
        self.rooms.iter().rev().find(|room| room.tag() == Some(RoomTag::Matchbox))
    }
}

fn line(byte: u8) -> String {
    format!(r#"{{"id":"{}","n":{}}}"#, key(byte).peer(), byte % 5)
}

fuzz_target!(|text: &str| {
    let next = if text.starts_with('n') { Some(2) } else { None };
    let mut client = Matchbox::new(key(0), "game", next);
    let (mut session, mut now, mut effects) = (Session::default(), Instant::now(), Effects::new());
    client.start(now, &mut effects);
    session.apply(&mut effects);
    for text in text.lines() {
        let mut bytes = text.bytes();
        let (how, who) = (bytes.next().unwrap_or_default(), bytes.next().unwrap_or_default());
        let frame = match (how, session.named().cloned()) {
            (b'0'..=b'3', _) => session.answer(who.wrapping_mul(4).wrapping_add(how - b'0')),
            (b'4', Some(room)) => {
                Some(format!(r#"{{"type":"peer_joined","room":"{room}","peer":{}}}"#, line(who)))
            }
            (b'5', Some(room)) => {
                let peer = key(who).peer().clone();
                Some(format!(r#"{{"type":"peer_left","room":"{room}","peer":"{peer}"}}"#))
            }
            (b'6', Some(room)) => {
                // Who came before the client is not told, and its leave is.
                session.had_others = true;
                Some(format!(r#"{{"type":"reset","room":"{room}","peers":[{}]}}"#, line(who)))
            }
            _ => None,
        };
        match how {
            b'0'..=b'6' => {
                if let Some(frame) = frame {
                    client.on_frame(&frame, now, &mut effects);
                }
            }
            b'7' => {
                if let Some(room) = session.posts.iter().next().cloned() {
                    session.posts.remove(&room);
                    let outcomes =
                        [PostOutcome::Posted, PostOutcome::Gone, PostOutcome::Unavailable];
                    let outcome = outcomes[usize::from(who % 3)];
                    client.on_posted(&room, outcome, now, &mut effects);
                }
            }
            b'8' => {
                now += Duration::from_secs(1);
                client.tick(now, &mut effects);
            }
            b'9' if std::mem::take(&mut session.asks_number) => {
                let number = (who != b'-').then_some(u64::from(who));
                client.on_number(number, now, &mut effects);
            }
            b'l' => {
                if let Some(room) = session.named().cloned() {
                    client.on_lost(&room, now, &mut effects);
                }
            }
            _ => client.on_text(text, now, &mut effects),
        }
        session.apply(&mut effects);
        if session.closed {
            return;
        }
    }
});
