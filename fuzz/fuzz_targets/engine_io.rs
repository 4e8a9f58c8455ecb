//! Engine.IO: bodies are read as they were written, and a session says nothing after its end, answers no poll twice and loses no
//! message to a poll or a move.

#![no_main]
#![allow(clippy::expect_used, reason = "a fault is a panic")]

use std::time::{Duration, Instant};

use engine_io::payload::{decode, encode};
use engine_io::{Effect, Effects, Packet, Revision, Session};
use libfuzzer_sys::fuzz_target;

/// What the client of a session has got.
struct Client {
    revision: Revision,
    polls: bool,
    has_ended: bool,
    sent: usize,
    got: usize,
}

impl Client {
    fn apply(&mut self, effects: &mut Effects) {
        for effect in effects.drain(..) {
            match effect {
                Effect::AnswerPoll(body) => {
                    assert!(std::mem::take(&mut self.polls), "an answer without a poll");
                    let packets = decode(self.revision, &body).expect("an answer is a payload");
                    for packet in packets {
                        self.takes(packet);
                    }
                }
                Effect::Send(text) => self.takes(&text),
                Effect::Message(_) | Effect::Alive | Effect::CloseProbe => {}
                Effect::Ended(_) => {
                    assert!(!std::mem::replace(&mut self.has_ended, true), "a second end");
                }
            }
        }
    }

    fn takes(&mut self, packet: &str) {
        if let Some(Packet::Message(data)) = Packet::parse(packet) {
            assert_eq!(data.parse(), Ok(self.got), "lost, doubled or out of order");
            self.got += 1;
        }
    }
}

fuzz_target!(|text: &str| {
    let revision = if text.starts_with('3') { Revision::V3 } else { Revision::V4 };
    if let Ok(packets) = decode(revision, text) {
        let packets: Vec<String> = packets.into_iter().map(str::to_owned).collect();
        let again = encode(revision, &packets);
        assert_eq!(decode(revision, &again).expect("it was written"), packets);
    }
    let mut session = Session::polling(revision);
    let mut client = Client { revision, polls: false, has_ended: false, sent: 0, got: 0 };
    let (mut now, mut effects) = (Instant::now(), Effects::new());
    for line in text.lines() {
        let (how, rest) = line.split_at_checked(1).unwrap_or(("", line));
        match how {
            "g" => {
                let waits = session.poll(now, &mut effects);
                client.polls |= waits.is_ok();
            }
            "p" => drop(session.post(rest, &mut effects)),
            "m" if !client.has_ended => {
                session.message(&client.sent.to_string(), &mut effects);
                client.sent += 1;
            }
            "a" if client.polls => {
                client.polls = false;
                session.poll_aborted(&mut effects);
            }
            "u" => drop(session.probe(now)),
            "w" => session.websocket_text(rest, now, &mut effects),
            "x" => session.websocket_gone(&mut effects),
            "!" => session.ping(&mut effects),
            "t" => {
                now += Duration::from_millis(60);
                session.tick(now, &mut effects);
            }
            _ => {}
        }
        client.apply(&mut effects);
    }
    if !client.has_ended && session.poll(now, &mut effects).is_ok() {
        client.polls = true;
        client.apply(&mut effects);
    }
    assert!(client.has_ended || client.got == client.sent, "a message is lost");
});
