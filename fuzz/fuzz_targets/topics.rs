//! What a client of topics says, and what the cluster answers: one membership and one post for each topic are asked for at a time,
//! and whatever the client is sent is one JSON text.

#![no_main]

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signal_dialects::{Dialect, DialectEffect, Effects, PostOutcome, Topics};
use signal_protocol::RoomId;

/// What the session has under way for the dialect.
#[derive(Default)]
struct Session {
    /// The joins and leaves that were not answered.
    requests: HashMap<u64, RoomId>,
    members: HashSet<RoomId>,
    /// The posts that were not answered.
    posts: HashSet<RoomId>,
}

impl Session {
    fn apply(&mut self, effects: &mut Effects) {
        for effect in effects.drain(..) {
            match effect {
                DialectEffect::Send(text) => {
                    serde_json::from_str::<Value>(&text).expect("the client is sent JSON");
                }
                DialectEffect::Join(join) => {
                    assert!(!self.members.contains(&join.room), "a second membership");
                    assert!(
                        !self.requests.values().any(|room| *room == join.room),
                        "a second request"
                    );
                    self.requests.insert(join.id, join.room);
                }
                DialectEffect::Leave { room, id } => {
                    assert!(self.members.contains(&room), "a leave of no member");
                    self.requests.insert(id, room);
                }
                DialectEffect::Post(post) => {
                    assert!(self.posts.insert(post.room), "a second post in flight");
                }
                DialectEffect::Ping | DialectEffect::Close(_) | DialectEffect::Advance { .. } => {
                    panic!("topics do none of these")
                }
                DialectEffect::Authenticate(_) | DialectEffect::Signal(_) => {
                    panic!("it is no member that signals")
                }
                DialectEffect::Ignore(_) => {}
            }
        }
        assert!(self.members.len() <= 100, "more topics than may be");
    }

    /// Answers one request, as the first byte of a line says.
    fn answer(&mut self, how: u8) -> Option<String> {
        let id = *self.requests.keys().min()?;
        let room = self.requests.remove(&id)?;
        let leaves = self.members.remove(&room);
        Some(match how % 3 {
            0 if leaves => format!(r#"{{"type":"ok","id":{id}}}"#),
            0 => {
                self.members.insert(room.clone());
                format!(r#"{{"type":"joined","id":{id},"room":"{room}"}}"#)
            }
            1 => format!(r#"{{"type":"error","id":{id},"code":"unavailable"}}"#),
            _ => format!(r#"{{"type":"error","id":{id},"code":"forbidden"}}"#),
        })
    }
}

fuzz_target!(|text: &str| {
    let (mut topics, mut session, mut effects) =
        (Topics::default(), Session::default(), Vec::new());
    let mut now = Instant::now();
    for line in text.lines() {
        let how = line.bytes().next().unwrap_or_default();
        match how {
            b'0'..=b'2' => {
                if let Some(frame) = session.answer(how) {
                    topics.on_frame(&frame, now, &mut effects);
                }
            }
            b'3'..=b'5' => {
                let room = session.posts.iter().next().cloned();
                let outcomes = [PostOutcome::Posted, PostOutcome::Gone, PostOutcome::Unavailable];
                if let Some(room) = room.and_then(|room| session.posts.take(&room)) {
                    topics.on_posted(&room, outcomes[usize::from(how - b'3')], now, &mut effects);
                }
            }
            b'6' => {
                let room = session.members.iter().next().cloned();
                let settled = |room: &RoomId| !session.requests.values().any(|asked| asked == room);
                if let Some(room) = room.filter(settled) {
                    session.members.remove(&room);
                    topics.on_lost(&room, now, &mut effects);
                }
            }
            b'7' => topics.on_frame(&line[1..], now, &mut effects),
            b'8' => {
                now += Duration::from_secs(1);
                topics.tick(now, &mut effects);
            }
            _ => topics.on_text(line, now, &mut effects),
        }
        session.apply(&mut effects);
    }
});
