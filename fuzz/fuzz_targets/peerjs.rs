//! What a client of `PeerJS` says, and what the cluster answers: it is told OPEN only while it holds its id, one post for each id
//! is in flight, whatever it is sent is JSON, and nothing it says carries another sender than itself.

#![no_main]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signal_dialects::{Dialect, DialectEffect, Effects, PeerJs, PostOutcome};
use signal_protocol::{RoomId, RoomTag};

/// What the session has under way for the dialect.
#[derive(Default)]
struct Session {
    /// The join or leave that was not answered, and whether it is a join.
    request: Option<(u64, bool)>,
    is_member: bool,
    posts: HashSet<RoomId>,
    closed: bool,
}

impl Session {
    fn apply(&mut self, effects: &mut Effects) {
        for effect in effects.drain(..) {
            match effect {
                DialectEffect::Send(text) => {
                    let frame: Value =
                        serde_json::from_str(&text).expect("the client is sent JSON");
                    assert!(frame["type"] != "OPEN" || self.is_member, "OPEN without the id");
                }
                DialectEffect::Join(join) => {
                    assert!(self.request.is_none() && !self.is_member, "a second request");
                    self.request = Some((join.id, true));
                }
                DialectEffect::Leave { id, .. } => {
                    assert!(self.is_member, "a leave of no member");
                    self.request = Some((id, false));
                }
                DialectEffect::Post(post) => {
                    let data: Value =
                        serde_json::from_str(post.data.get()).expect("a post is JSON");
                    let is_challenge = data.get("type").is_none();
                    assert!(is_challenge || data["src"] == "alice", "a sender that is made up");
                    assert!(self.posts.insert(post.room), "a second post in flight");
                }
                DialectEffect::Close(_) => self.closed = true,
                DialectEffect::Advance { .. } => panic!("an id has no number"),
                DialectEffect::Authenticate(_) | DialectEffect::Signal(_) => {
                    panic!("it is no member that signals")
                }
                DialectEffect::Ping | DialectEffect::Ignore(_) => {}
            }
        }
    }

    /// Answers the request, as the first byte of a line says.
    fn answer(&mut self, how: u8) -> Option<String> {
        let (id, is_join) = self.request.take()?;
        if !is_join {
            self.is_member = false;
            return Some(format!(r#"{{"type":"ok","id":{id}}}"#));
        }
        self.is_member = how.is_multiple_of(3);
        Some(match how % 3 {
            0 => format!(r#"{{"type":"joined","id":{id}}}"#),
            1 => format!(r#"{{"type":"error","id":{id},"code":"room_full"}}"#),
            _ => format!(r#"{{"type":"error","id":{id},"code":"unavailable"}}"#),
        })
    }
}

fuzz_target!(|text: &str| {
    let (mut peer, mut session) = (PeerJs::new("alice", "t1", "peerjs"), Session::default());
    let (mut now, mut effects) = (Instant::now(), Effects::new());
    let room = RoomId::of_dialect(RoomTag::PeerJs, "alice");
    peer.start(now, &mut effects);
    session.apply(&mut effects);
    for line in text.lines() {
        let how = line.bytes().next().unwrap_or_default();
        match how {
            b'0'..=b'2' => {
                if let Some(frame) = session.answer(how) {
                    peer.on_frame(&frame, now, &mut effects);
                }
            }
            b'3'..=b'5' => {
                let posted = session.posts.iter().next().cloned();
                let outcomes = [PostOutcome::Posted, PostOutcome::Gone, PostOutcome::Unavailable];
                if let Some(posted) = posted.and_then(|posted| session.posts.take(&posted)) {
                    peer.on_posted(&posted, outcomes[usize::from(how - b'3')], now, &mut effects);
                }
            }
            b'6' => {
                let challenge = r#"{"challenge":true}"#;
                let frame = format!(r#"{{"type":"signal","room":"{room}","data":{challenge}}}"#);
                peer.on_frame(&frame, now, &mut effects);
            }
            b'7' => peer.on_control(),
            b'8' => {
                now += Duration::from_secs(1);
                peer.tick(now, &mut effects);
            }
            _ => peer.on_text(line, now, &mut effects),
        }
        session.apply(&mut effects);
        if session.closed {
            return;
        }
    }
});
