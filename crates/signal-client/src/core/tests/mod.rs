//! The machine without a socket: frames and the time go in, effects are looked at.

mod connection;
mod membership;

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::core::*;

const ANA: MemberId = MemberId(1);
const BO: &str = "p_u1BMnQ3PWsFKcSzG2oqhFg";
const MESSAGE_LIMIT: usize = 2_000;

/// A machine, the time, and what came out of the machine so far.
struct Bench {
    machine: Machine,
    now: Instant,
    /// Frames by the link that they were sent on.
    sent: Vec<(u64, Value)>,
    events: Vec<RoomEvent>,
    settled: Vec<(u64, Result<(), SendError>)>,
    opened: Vec<u64>,
    closed: Vec<(u64, u16)>,
    states: Vec<State>,
    fetches: usize,
}

impl Bench {
    fn new(tokens: TokenSource) -> Self {
        let now = Instant::now();
        let mut drawn = 0;
        let keys: KeySource = Box::new(move |_| {
            drawn += 1;
            format!("{drawn:A<22}")
        });
        let machine = Machine::new(tokens, keys, Rng::with_seed(1), now);
        let mut bench = Self {
            machine,
            now,
            sent: Vec::new(),
            events: Vec::new(),
            settled: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            states: Vec::new(),
            fetches: 0,
        };
        bench.on(Input::Tick);
        bench
    }

    /// A member of the room `demo` on link 1, at position 10.
    fn joined() -> Self {
        let mut bench = Self::new(TokenSource::Anonymous);
        bench.welcome(1);
        bench.join(ANA, "demo");
        bench.enter(1, 10, "new", 0);
        bench
    }

    fn on(&mut self, input: Input<'_>) {
        self.machine.on(input, self.now);
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Open { link, .. } => self.opened.push(link.0),
                Effect::Send { link, text } => {
                    self.sent.push((link.0, serde_json::from_str(&text).unwrap()));
                }
                Effect::Close { link, code } => self.closed.push((link.0, code)),
                Effect::FetchToken => self.fetches += 1,
                Effect::State(state) => self.states.push(state),
                Effect::Room { event, .. } => self.events.push(event),
                Effect::Settled { ticket, result } => self.settled.push((ticket.0, result)),
                Effect::Welcomed { .. }
                | Effect::Moving(_)
                | Effect::Ice(_)
                | Effect::Position { .. } => {}
                Effect::Unreadable { error } => panic!("{error}"),
            }
        }
    }

    /// Lets time pass until the machine has something to do, and returns how long that was.
    fn wake(&mut self) -> Duration {
        let at = self.machine.wake_at(self.now).expect("something to be done");
        let waited = at.saturating_duration_since(self.now);
        self.now = self.now.max(at);
        self.on(Input::Tick);
        waited
    }

    /// Lets time pass until another link was opened, and returns how long that was.
    fn until_opened(&mut self) -> Duration {
        let (known, begun) = (self.opened.len(), self.now);
        for _ in 0..100 {
            if self.opened.len() > known {
                return self.now - begun;
            }
            // A link that is in use lives meanwhile.
            self.on(Input::NotReading);
            self.wake();
        }
        panic!("no link was opened");
    }

    fn hear(&mut self, link: u64, frame: &Value) {
        self.on(Input::Text { link: LinkId(link), text: &frame.to_string() });
    }

    fn welcome(&mut self, link: u64) {
        let limits = json!({"message": MESSAGE_LIMIT, "rooms": 8, "rate": 100, "burst": 2000, "unacked": 256});
        self.hear(link, &json!({"type": "welcome", "node": format!("n_{link}"), "ping": 10, "grace": 30, "limits": limits}));
    }

    fn join(&mut self, member: MemberId, room: &str) {
        self.on(Input::Join { member, room: room.parse().unwrap(), meta: None });
    }

    /// The node lets the member of `demo` in.
    fn enter(&mut self, link: u64, seq: u64, recovery: &str, mid: u64) {
        self.enter_room("demo", link, &json!({"seq": seq, "recovery": recovery, "mid": mid}));
    }

    fn enter_room(&mut self, room: &str, link: u64, rest: &Value) {
        let me = json!({"id": "p_RZiseU6qXKAcEML9utEZlg", "n": 7});
        let mut asked = self
            .sent_of("join")
            .into_iter()
            .filter(|(on, join)| *on == link && join["room"] == room);
        let id = asked.next_back().map(|(_, join)| join["id"].clone());
        let mut frame = json!({"type": "joined", "id": id, "room": room, "self": me, "ice": null});
        if rest["recovery"] != "replay" {
            frame["peers"] = json!([{"id": BO, "n": 3, "polite": true, "away": false, "meta": {}}]);
        }
        frame.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        self.hear(link, &frame);
    }

    fn say(&mut self, ticket: u64) {
        let data = Payload::from_value(&ticket).unwrap();
        self.on(Input::Signal { member: ANA, ticket: Ticket(ticket), to: None, data });
    }

    fn tell(&mut self, link: u64, seq: u64) {
        self.hear(
            link,
            &json!({"type": "signal", "room": "demo", "seq": seq, "from": BO, "data": seq}),
        );
    }

    fn refuse(&mut self, link: u64, rest: &Value) {
        let mut frame = json!({"type": "error", "code": "internal", "retry": true, "message": "m"});
        frame.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        self.hear(link, &frame);
    }

    fn lose(&mut self, link: u64, code: u16) {
        self.on(Input::Closed { link: LinkId(link), code, message: "gone", retry_after: None });
    }

    /// What was sent of a type, with its link.
    fn sent_of(&self, kind: &str) -> Vec<(u64, Value)> {
        self.sent.iter().filter(|(_, frame)| frame["type"] == kind).cloned().collect()
    }

    fn mids(&self, link: u64) -> Vec<u64> {
        let on = self.sent_of("signal").into_iter().filter(|(sent_on, _)| *sent_on == link);
        on.map(|(_, frame)| frame["mid"].as_u64().unwrap()).collect()
    }

    /// The positions of the signals that the application got.
    fn delivered(&self) -> Vec<u64> {
        let seq = |event: &RoomEvent| {
            if let RoomEvent::Signal { seq, .. } = event { Some(seq.0) } else { None }
        };
        self.events.iter().filter_map(seq).collect()
    }
}
