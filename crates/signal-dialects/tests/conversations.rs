//! Conversations of clients with their dialects, one file for each. A line of a file is an input or the effect that has to follow:
//!
//! - `> TEXT` the client sends; `* …` the cluster answers; `+ 250ms` time passes
//! - `< TEXT` the client is sent; `= …` the session is asked; `! REASON` the frame has no effect
//!
//! Every effect of an input stands behind it, in order. `<B>` is the UUID of the client of matchbox whose key is of `B`s, and
//! `<b>` is how a client of Socket.IO with this key is called. `* joined` says the number of the member and, for Socket.IO, how it
//! came back: `joined foo 1 @7 replay`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signal_dialects::socketio::Protocol;
use signal_dialects::{
    Dialect, DialectEffect, Effects, Matchbox, PeerJs, PostOutcome, SocketIo, Topics,
};
use signal_protocol::{PeerKey, RoomId, RoomTag};
use uuid::Uuid;

/// A conversation under way.
struct Conversation {
    dialect: Box<dyn Dialect>,
    now: Instant,
    /// Names of rooms, as the dialect says them, with the last request for each.
    rooms: HashMap<String, (RoomId, u64)>,
    effects: Effects,
}

impl Conversation {
    fn new(dialect: Box<dyn Dialect>) -> Self {
        let (now, rooms, effects) = (Instant::now(), HashMap::new(), Effects::new());
        Self { dialect, now, rooms, effects }
    }

    fn input(&mut self, line: &str) {
        let (kind, rest) = line.split_at(2);
        match kind {
            "> " => self.dialect.on_text(rest, self.now, &mut self.effects),
            "+ " => {
                self.now += Duration::from_millis(rest.trim_end_matches("ms").parse().unwrap());
                let due = self.dialect.next_tick().is_some_and(|at| at <= self.now);
                if due {
                    self.dialect.tick(self.now, &mut self.effects);
                }
            }
            "* " if rest.starts_with("number") => {
                let number = rest.split_once(' ').and_then(|(_, number)| number.parse().ok());
                self.dialect.on_number(number, self.now, &mut self.effects);
            }
            "* " if rest.starts_with('{') => {
                self.dialect.on_frame(rest, self.now, &mut self.effects);
            }
            "* " if rest == "control" => self.dialect.on_control(),
            "* " if rest == "rejected" => {
                let frame = r#"{"type":"error","code":"unauthorized","message":""}"#;
                self.dialect.on_frame(frame, self.now, &mut self.effects);
            }
            "* " => self.answer(rest),
            other => panic!("a line begins with {other:?}"),
        }
    }

    /// Applies what the cluster answers: `joined NAME`, `refused NAME CODE`, `signal NAME DATA`, …
    fn answer(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap();
        let (name, detail) = rest.split_once(' ').unwrap_or((rest, ""));
        let (room, id) = self.rooms[name].clone();
        let frame = match what {
            "joined" => {
                let mut words: Vec<&str> = detail.split_whitespace().collect();
                let recovery = words.pop_if(|word| matches!(*word, "replay" | "snapshot" | "new"));
                let seq = words.pop_if(|word| word.starts_with('@'));
                let (n, peers) = words.split_first().map_or(("1", ""), |(n, _)| (*n, detail));
                let peers: Vec<&str> =
                    peers.split_whitespace().filter(|word| word.contains(':')).collect();
                let peers = lines(&peers.join(" "));
                let (seq, recovery) = (seq.map_or("1", |seq| &seq[1..]), recovery.unwrap_or("new"));
                format!(
                    r#"{{"type":"joined","id":{id},"room":"{room}","seq":{seq},"mid":0,"recovery":"{recovery}","self":{{"id":"p_x","n":{n}}},"peers":[{peers}]}}"#
                )
            }
            "reset" => {
                let peers = lines(detail);
                format!(r#"{{"type":"reset","room":"{room}","seq":9,"mid":0,"peers":[{peers}]}}"#)
            }
            "ack" => {
                let (mid, seq) = detail.split_once(" @").unwrap();
                format!(r#"{{"type":"ack","room":"{room}","mid":{mid},"seq":{seq}}}"#)
            }
            "retry" => format!(
                r#"{{"type":"error","room":"{room}","mid":{detail},"code":"unavailable","retry":true,"message":""}}"#
            ),
            "away" => {
                format!(r#"{{"type":"peer_updated","room":"{room}","seq":{detail},"peer":{{}}}}"#)
            }
            "ok" => format!(r#"{{"type":"ok","id":{id}}}"#),
            "refused" => format!(r#"{{"type":"error","id":{id},"code":"{detail}","message":""}}"#),
            "left" => format!(r#"{{"type":"left","room":"{room}","reason":"expired"}}"#),
            "peer" => {
                let line = lines(detail);
                format!(r#"{{"type":"peer_joined","room":"{room}","seq":2,"peer":{line}}}"#)
            }
            "gone" => {
                let peer = key(detail).peer().clone();
                format!(r#"{{"type":"peer_left","room":"{room}","seq":2,"peer":"{peer}"}}"#)
            }
            "signal" => {
                format!(
                    r#"{{"type":"signal","room":"{room}","seq":3,"from":"server","data":{detail}}}"#
                )
            }
            "posted" => return self.posted(&room, detail),
            "lost" => return self.dialect.on_lost(&room, self.now, &mut self.effects),
            other => panic!("the cluster says {other:?}"),
        };
        self.dialect.on_frame(&frame, self.now, &mut self.effects);
    }

    fn posted(&mut self, room: &RoomId, outcome: &str) {
        let outcome = match outcome {
            "" => PostOutcome::Posted,
            "gone" => PostOutcome::Gone,
            "unavailable" => PostOutcome::Unavailable,
            "limited" => PostOutcome::Limited,
            other => panic!("an outcome is {other:?}"),
        };
        self.dialect.on_posted(room, outcome, self.now, &mut self.effects);
    }

    /// Names a room in the conversation. matchbox says the name of the room for those of its clients, too: the first is `own`.
    fn called(&self, room: &RoomId, name: &str) -> String {
        if room.tag() != Some(RoomTag::MatchboxPeer) {
            return name.to_owned();
        }
        let known = self.rooms.iter().find(|(_, (of, _))| of == room);
        let new = || if self.rooms.contains_key("own") { "theirs" } else { "own" };
        known.map_or_else(|| new().to_owned(), |(name, _)| name.clone())
    }

    /// Writes the next effect as a line.
    fn effect(&mut self) -> Option<String> {
        if self.effects.is_empty() {
            return None;
        }
        Some(match self.effects.remove(0) {
            DialectEffect::Send(text) => format!("< {text}"),
            DialectEffect::Authenticate(token) => {
                format!("= authenticate {}", token.as_deref().unwrap_or("nobody"))
            }
            DialectEffect::Signal(signal) => {
                let known = self.rooms.iter().find(|(_, (of, _))| *of == signal.room).unwrap();
                format!("= signal {} #{} {}", known.0, signal.mid, signal.data.get())
            }
            DialectEffect::Ping => "= ping".to_owned(),
            DialectEffect::Close(code) => format!("= close {}", code.name()),
            DialectEffect::Ignore(reason) => format!("! {}", reason.as_str()),
            DialectEffect::Join(join) => {
                let name = self.called(&join.room, &join.name);
                self.rooms.insert(name.clone(), (join.room, join.id));
                let position = join.position.map(|seq| format!(" @{seq}")).unwrap_or_default();
                format!("= join {name}{position}")
            }
            DialectEffect::Leave { room, id } => {
                let known = self.rooms.iter_mut().find(|(_, (of, _))| *of == room).unwrap();
                known.1.1 = id;
                format!("= leave {}", known.0)
            }
            DialectEffect::Advance { from, .. } => format!("= advance {from}"),
            DialectEffect::Post(post) => {
                let name = self.called(&post.room, &post.name);
                self.rooms.entry(name.clone()).or_insert((post.room, 0));
                format!("= post {name} #{} {}", post.count, post.data.get())
            }
        })
    }
}

/// A client of another node, in a room, with two signals that are not known to be settled.
const MOVED: &str = r#"{"sid":null,"secret":"BBBBBBBBBBBBBBBBBBBBBB","room":{"mark":"7:foo","signals":["a",{"b":1}],"settled":0}}"#;

fn key(letter: &str) -> PeerKey {
    letter.repeat(22).parse().unwrap()
}

/// Writes members as `LETTER:N …` says them.
fn lines(members: &str) -> String {
    let line = |member: &str| {
        let (letter, n) = member.split_once(':').unwrap();
        format!(r#"{{"id":"{}","n":{n},"polite":true,"away":false}}"#, key(letter).peer())
    };
    members.split_whitespace().map(line).collect::<Vec<_>>().join(",")
}

/// Replaces `<LETTER>` by a UUID.
fn with_uuids(line: &str) -> String {
    ["A", "B", "C", "D"].iter().fold(line.to_owned(), |line, letter| {
        let bits = URL_SAFE_NO_PAD.decode(&key(letter).peer().as_str()[2..]).unwrap();
        let line =
            line.replace(&format!("<{letter}>"), &Uuid::from_slice(&bits).unwrap().to_string());
        let (sid, pid) = (&key(letter).peer().as_str()[2..].to_owned(), letter.repeat(22));
        let small = letter.to_lowercase();
        line.replace(&format!("<{small}>"), sid).replace(&format!("<pid {small}>"), &pid)
    })
}

fn hold(file: &Path, dialect: Box<dyn Dialect>, is_unauthenticated: bool) {
    let mut conversation = Conversation::new(dialect);
    if !is_unauthenticated {
        conversation.dialect.start(conversation.now, &mut conversation.effects);
    }
    let text = fs::read_to_string(file).unwrap();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let place = format!("{}:{}", file.display(), at + 1);
        if line.starts_with('#') {
            continue;
        }
        let line = &*with_uuids(line);
        if line.starts_with(['<', '=', '!']) {
            assert_eq!(conversation.effect().as_deref(), Some(line), "{place}");
        } else {
            assert_eq!(conversation.effect(), None, "before {place}");
            conversation.input(line);
        }
    }
    assert_eq!(conversation.effect(), None, "at the end of {}", file.display());
}

#[test]
fn every_conversation_of_a_folder_is_held_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 4);
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let dialect: Box<dyn Dialect> = match name.split('-').next().unwrap() {
            "topics" => Box::new(Topics::default()),
            "peerjs" => Box::new(PeerJs::new("alice", "t1", "peerjs")),
            "matchbox" => Box::new(Matchbox::new(key("A"), "game", None)),
            "socketio" => Box::new(SocketIo::new(Protocol::Five, &"A".repeat(22)).unwrap()),
            "moved" => Box::new(SocketIo::import(MOVED).unwrap()),
            "socketio4" => {
                let protocol = Protocol::Four { sid: "n_1~s".to_owned() };
                Box::new(SocketIo::new(protocol, &"A".repeat(22)).unwrap())
            }
            "groups" => Box::new(Matchbox::new(key("A"), "game", Some(2))),
            "nobody" => Box::new(PeerJs::new("", "t1", "peerjs")),
            other => panic!("there is no dialect {other:?}"),
        };
        hold(&file, dialect, name.contains("-unauthenticated"));
    }
}
