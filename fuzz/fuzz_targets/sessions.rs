//! A whole connection, one thing a line: frames of the client, what the room answers, and time that passes.
//!
//! `+` the room that was asked for lets it in, `-` lets it go, `!` ends the membership, `>` a second passes (`>>>`:
//! four), anything else is a frame. Under any input each frame has one effect, all that is sent is JSON, and no more
//! rooms are held than may be.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use service_kit::tokens::Claims;
use signal_node::room::FrameEvent;
use signal_node::session::{
    Effect, Entrance, Identity, Machine, SessionRejection, SessionSettings, VerifyPurpose,
};
use signal_protocol::{CloseCode, ErrorCode, LeftReason, RoomId};
use tokio::time::Instant;

const ROOMS: usize = 2;

fuzz_target!(|input: &str| {
    let mut lines = input.lines();
    let welcomed = lines.next() == Some("welcome");
    let mut connection = Connection::new(welcomed);
    for line in lines {
        if !connection.hear(line) {
            return;
        }
    }
});

struct Connection {
    machine: Machine,
    now: Instant,
    room: RoomId,
}

impl Connection {
    fn new(welcomed: bool) -> Self {
        let now = Instant::now();
        let entrance = if welcomed {
            Entrance::Authenticated(Identity::Anonymous)
        } else {
            Entrance::AwaitingHello { anonymous: true }
        };
        let machine = Machine::new(Arc::new(settings()), entrance, now);
        let mut connection = Self { machine, now, room: "demo".parse().expect("a room") };
        assert_eq!(connection.perform(), Some(usize::from(welcomed)));
        connection
    }

    /// Takes in one line, and tells whether the connection goes on.
    fn hear(&mut self, line: &str) -> bool {
        match line.as_bytes().first() {
            Some(b'+') => self.machine.on_frame_sent(&FrameEvent::Joined(self.room.clone())),
            Some(b'-') => self.machine.on_frame_sent(&FrameEvent::Left(self.room.clone())),
            Some(b'!') => self
                .machine
                .on_frame_sent(&FrameEvent::Ended(self.room.clone(), reason(line.len()))),
            Some(b'>') => self.pass(line.len()),
            _ => return self.frame(line),
        }
        self.perform().is_some()
    }

    fn frame(&mut self, text: &str) -> bool {
        self.machine.frame(text, self.now);
        let effects = self.perform();
        assert!(effects.is_none_or(|count| count == 1), "{effects:?} effects of {text}");
        // The inbox is one beside them.
        assert!(self.machine.memberships().count() <= ROOMS + 1, "more rooms than may be");
        effects.is_some()
    }

    fn pass(&mut self, length: usize) {
        self.now += Duration::from_secs(1 << length.min(10)) / 2;
        self.machine.tick(self.now);
    }

    /// Does what the machine says, and returns how many effects there were before anything was answered; `None` at the
    /// end of the connection.
    fn perform(&mut self) -> Option<usize> {
        let effects: Vec<_> = std::iter::from_fn(|| self.machine.next_effect()).collect();
        let count = effects.len();
        let mut goes_on = true;
        for effect in effects {
            goes_on &= self.one(effect);
        }
        // What became of the answers.
        let further = std::iter::from_fn(|| self.machine.next_effect()).collect::<Vec<_>>();
        goes_on &= further.into_iter().all(|effect| self.one(effect));
        goes_on.then_some(count)
    }

    fn one(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Welcome(text) | Effect::Send(text) | Effect::Refuse(_, text) => is_frame(&text),
            Effect::Close(_) | Effect::Reject(_) => return false,
            Effect::Verify(token, purpose) => self.verified(&token, purpose),
            Effect::FetchIce(purpose) => {
                let _ = self.machine.ice_owner(&purpose);
                self.machine.ice_answered(purpose, None, self.now);
            }
            Effect::Join(room, ..) => self.room = room,
            Effect::Online(online) => self.room = online.inbox,
            _ => {}
        }
        true
    }

    /// A token is good if its length is even, and its subject is its first letter.
    fn verified(&mut self, token: &str, purpose: VerifyPurpose) {
        let subject = token.chars().next().filter(char::is_ascii_alphanumeric);
        let verdict = match subject {
            Some(subject) if token.len().is_multiple_of(2) => {
                let claims = Claims::new(subject.to_string(), 60);
                Identity::holder(claims, Duration::ZERO, self.now)
            }
            _ => Err(refused()),
        };
        self.machine.verified(purpose, verdict);
    }
}

fn is_frame(text: &str) {
    let frame: Value = serde_json::from_str(text).expect("a frame that is JSON");
    assert!(frame["type"].is_string(), "a frame without its type: {text}");
}

fn refused() -> SessionRejection {
    let message = "a bad token".to_owned();
    SessionRejection { close: CloseCode::Unauthorized, code: ErrorCode::Unauthorized, message }
}

fn reason(length: usize) -> LeftReason {
    [LeftReason::Replaced, LeftReason::Kicked, LeftReason::Expired][length % 3]
}

fn settings() -> SessionSettings {
    SessionSettings {
        node: "n_test".parse().expect("a node"),
        ping: Duration::from_secs(10),
        grace: Duration::from_secs(30),
        rate: "100/s,burst=2000".parse().expect("a rate"),
        max_message: 65_536,
        rooms_per_connection: ROOMS,
        rooms_per_client: ROOMS,
        watches_per_connection: 100,
        room_capacity: 64,
        members_per_sub: 4,
        outbox_bytes: 1 << 20,
        relays: true,
        reports: true,
    }
}
