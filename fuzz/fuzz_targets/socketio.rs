//! A client of Socket.IO: it is connected once, its events carry positions that lead back to where it is, its signals are numbered
//! without holes, and no join is asked for twice.

#![no_main]
#![allow(clippy::expect_used, reason = "a fault is a panic")]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signal_dialects::socketio::Protocol;
use signal_dialects::{Dialect, DialectEffect, Effects, SocketIo};
use signal_protocol::{PeerKey, RoomId};

/// What the session of the client would hold.
#[derive(Default)]
struct Session {
    join: Option<(RoomId, u64)>,
    leave: Option<u64>,
    room: Option<RoomId>,
    mid: u64,
    seq: u64,
    closed: bool,
}

impl Session {
    fn apply(&mut self, effects: &mut Effects, is_marked: bool) {
        for effect in effects.drain(..) {
            match effect {
                DialectEffect::Send(text) => check(&text, is_marked),
                DialectEffect::Join(join) => {
                    assert!(self.join.is_none() && self.room.is_none(), "in two rooms");
                    assert!(self.leave.is_none(), "a join before the leave is answered");
                    self.join = Some((join.room, join.id));
                }
                DialectEffect::Leave { id, .. } => {
                    (self.leave, self.join, self.room) = (Some(id), None, None);
                }
                DialectEffect::Signal(signal) => {
                    assert_eq!(Some(&signal.room), self.room.as_ref(), "not a member");
                    assert!(signal.mid <= self.mid + 1, "a hole");
                    self.mid = self.mid.max(signal.mid);
                }
                DialectEffect::Close(_) => self.closed = true,
                DialectEffect::Authenticate(_) | DialectEffect::Ignore(_) => {}
                DialectEffect::Post(_) | DialectEffect::Advance { .. } | DialectEffect::Ping => {
                    panic!("a member neither posts nor asks for numbers")
                }
            }
        }
    }

    fn answer(&mut self, how: u8, who: u8) -> Option<String> {
        self.seq += 1;
        let seq = self.seq;
        if let Some(id) = self.leave.take() {
            return Some(format!(r#"{{"type":"ok","id":{id}}}"#));
        }
        if let Some((room, id)) = self.join.take() {
            let code = match how % 6 {
                0 => "room_full",
                1 => "unavailable",
                2 => "forbidden",
                way => {
                    let recovery = ["new", "replay", "snapshot"][usize::from(way - 3)];
                    let peers = if who.is_multiple_of(2) { line(who) } else { String::new() };
                    self.mid = 0;
                    self.room = Some(room.clone());
                    return Some(format!(
                        r#"{{"type":"joined","id":{id},"room":"{room}","seq":{seq},"mid":0,"recovery":"{recovery}","self":{{"id":"p_x","n":2}},"peers":[{peers}]}}"#
                    ));
                }
            };
            return Some(format!(r#"{{"type":"error","id":{id},"code":"{code}","message":""}}"#));
        }
        let room = self.room.clone()?;
        let mid = u64::from(who) % (self.mid + 1);
        Some(match how % 7 {
            0 => format!(
                r#"{{"type":"peer_joined","room":"{room}","seq":{seq},"peer":{}}}"#,
                line(who)
            ),
            1 => format!(
                r#"{{"type":"peer_left","room":"{room}","seq":{seq},"peer":"{}"}}"#,
                key(who).peer()
            ),
            2 => format!(
                r#"{{"type":"signal","room":"{room}","seq":{seq},"from":"p_y","data":"{who}"}}"#
            ),
            3 => format!(r#"{{"type":"ack","room":"{room}","mid":{mid},"seq":{seq}}}"#),
            4 => format!(
                r#"{{"type":"error","room":"{room}","mid":{mid},"code":"unavailable","retry":{},"message":""}}"#,
                who.is_multiple_of(2)
            ),
            5 => {
                self.mid = mid;
                format!(
                    r#"{{"type":"reset","room":"{room}","seq":{seq},"mid":{mid},"peers":[{}]}}"#,
                    line(who)
                )
            }
            _ => format!(r#"{{"type":"peer_updated","room":"{room}","seq":{seq},"peer":{{}}}}"#),
        })
    }
}

/// Checks that an event is JSON whose last argument is a text, where the client takes that for its position.
fn check(text: &str, is_marked: bool) {
    if let Some(event) = text.strip_prefix('2').filter(|_| is_marked) {
        let event: Vec<Value> = serde_json::from_str(event).expect("an event is a list");
        let mark = event.last().and_then(Value::as_str).expect("an event carries a position");
        assert!(mark == "-" || mark.contains(':'), "{mark}");
    }
}

fn key(byte: u8) -> PeerKey {
    let letter = char::from(b'A' + byte % 4).to_string();
    letter.repeat(22).parse().expect("22 letters are a key")
}

fn line(byte: u8) -> String {
    format!(r#"{{"id":"{}","n":{}}}"#, key(byte).peer(), byte % 5)
}

fuzz_target!(|text: &str| {
    let is_marked = !text.starts_with('4');
    let protocol = if is_marked { Protocol::Five } else { Protocol::Four { sid: "s".to_owned() } };
    let mut client = SocketIo::new(protocol, &"A".repeat(22)).expect("22 letters are a key");
    let (mut session, mut now, mut effects) = (Session::default(), Instant::now(), Effects::new());
    client.start(now, &mut effects);
    for line in text.lines() {
        let mut bytes = line.bytes();
        let (how, who) = (bytes.next().unwrap_or_default(), bytes.next().unwrap_or_default());
        match how {
            b'=' => {
                if let Some(frame) = session.answer(who, bytes.next().unwrap_or_default()) {
                    client.on_frame(&frame, now, &mut effects);
                }
            }
            b'+' => {
                now += Duration::from_millis(300);
                if client.next_tick().is_some_and(|at| at <= now) {
                    client.tick(now, &mut effects);
                }
            }
            _ => client.on_text(line, now, &mut effects),
        }
        session.apply(&mut effects, is_marked);
        if session.closed {
            return;
        }
    }
});
