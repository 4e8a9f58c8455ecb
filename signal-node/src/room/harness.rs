//! A harness for one replica: its log and its clock are a test, which says which calls are answered, and which entries come.

use std::sync::Arc;
use std::time::Duration;

use signal_protocol::{Mid, PeerId, PeerKey, Recovery, RoomId, Seq};
use tokio::time::Instant;

use super::*;
use crate::log::{
    Batch, Entry, FeedEvent, Join, Joined, Judgement, Outcome, Payload, ResetMember, Retention,
    RoomView, RosterMember, Silent, SocketId,
};
use crate::send_budget::SendRates;

/// A cluster in which nobody is silent, or one other node is.
pub(super) struct Cluster {
    pub(super) silent: bool,
    /// The answer of `in_contact_for`; `false`: this node may not know yet that the log has lost entries.
    pub(super) in_contact: bool,
}

impl ClusterView for Cluster {
    fn judgement(&self) -> Judgement {
        let silent = Silent { node: "n_two".parse().unwrap(), ago: Duration::ZERO };
        Judgement::certain(self.silent.then_some(silent).into_iter().collect())
    }

    fn in_contact_for(&self, _: Duration) -> bool {
        self.in_contact
    }

    fn log_time(&self) -> Option<Duration> {
        None
    }
}

/// A room, the time, and what the room asked of its task last.
pub(super) struct ReplicaHarness {
    pub(super) replica: Replica,
    pub(super) now: Instant,
    pub(super) settings: RoomSettings,
    pub(super) cluster: Cluster,
    pub(super) calls: Vec<AppendCall>,
    pub(super) reads: Vec<Seq>,
    pub(super) replays: Vec<Replay>,
    pub(super) retries: Vec<JoinCommand>,
    pub(super) counts: Vec<Count>,
    pub(super) subscriptions: usize,
    pub(super) retires: bool,
}

pub(super) fn room_settings() -> RoomSettings {
    let (age, room) = (Duration::from_secs(60), Duration::from_secs(60));
    let rate = "1000000/s,burst=1000000".parse().unwrap();
    RoomSettings {
        node: "n_one".parse().unwrap(),
        grace: Duration::from_secs(30),
        retention: Retention { age, length: 1_000, bytes: 1 << 20, room },
        send_rates: SendRates { fanout: rate, receiver: rate },
    }
}

pub(super) fn room() -> RoomId {
    "demo".parse().unwrap()
}

pub(super) fn key(letter: char) -> PeerKey {
    letter.to_string().repeat(22).parse().unwrap()
}

pub(super) fn peer(letter: char) -> PeerId {
    key(letter).peer().clone()
}

pub(super) fn json() -> Payload {
    serde_json::value::RawValue::from_string("1".to_owned()).unwrap().into()
}

pub(super) fn socket(letter: char) -> SocketId {
    Join::simple(&key(letter), 1, "n_one".parse().unwrap()).socket
}

pub(super) fn batch(prev: u64, first: u64, entry: Entry) -> FeedEvent {
    let entries = vec![entry];
    FeedEvent::Batch(Arc::new(Batch { prev: Seq(prev), first: Seq(first), entries }))
}

pub(super) fn join_of(letter: char, n: u64) -> Entry {
    let node = "n_one".parse().unwrap();
    Entry::Joined { peer: peer(letter), n, node, resumed: false, user: None, meta: None }
}

/// The entry of a join over another node.
pub(super) fn join_elsewhere(letter: char, n: u64) -> Entry {
    let mut entry = join_of(letter, n);
    let Entry::Joined { node, .. } = &mut entry else { unreachable!() };
    *node = "n_other".parse().unwrap();
    entry
}

pub(super) fn signal_of(letter: char, mid: u64) -> Entry {
    Entry::Signal { from: peer(letter), to: None, mid: Mid(mid), data: json(), trace: None }
}

pub(super) fn joined(seq: u64, recovery: Recovery) -> Outcome {
    let (base, n, origin, mid) = (Seq(seq - 1), seq, Seq(seq), Mid(0));
    let (refused, roster, meta) = (Vec::new(), Vec::new(), json());
    let seq = Seq(seq);
    Outcome::Joined(Box::new(Joined { seq, base, n, origin, recovery, mid, refused, meta, roster }))
}

/// A room as the log tells it.
pub(super) fn view(members: Vec<RosterMember>) -> Outcome {
    Outcome::Room(Box::new(RoomView { head: Seq(1), capacity: None, locked: false, members }))
}

pub(super) fn reset_member(letter: char, generation: u64, mid: u64) -> ResetMember {
    let (node, away, meta) = ("n_one".parse().unwrap(), None, json());
    let joined = Seq(generation);
    let line = RosterMember { peer: peer(letter), node, n: 1, joined, user: None, away, meta };
    ResetMember { line, generation: Seq(generation), mid: Mid(mid) }
}

/// The types of the frames that wait in an outbox.
pub(super) fn frames(outbox: &Outbox) -> Vec<String> {
    let frames = std::iter::from_fn(|| outbox.pop().unwrap());
    let kind = |delivery: Delivery| {
        let frame: serde_json::Value = serde_json::from_slice(&delivery.frame).unwrap();
        frame["type"].as_str().unwrap().to_owned()
    };
    frames.map(kind).collect()
}

impl ReplicaHarness {
    pub(super) fn new() -> Self {
        Self {
            replica: Replica::new(room()),
            now: Instant::now(),
            settings: room_settings(),
            cluster: Cluster { silent: false, in_contact: true },
            calls: Vec::new(),
            reads: Vec::new(),
            replays: Vec::new(),
            retries: Vec::new(),
            counts: Vec::new(),
            subscriptions: 0,
            retires: false,
        }
    }

    /// A room with a member for each letter, whose entries are 1, 2, …
    pub(super) fn with_members(letters: &str) -> (Self, Vec<Arc<Outbox>>) {
        let mut harness = Self::new();
        let outboxes = (1..).zip(letters.chars()).map(|(seq, letter)| harness.member(letter, seq));
        let outboxes: Vec<_> = outboxes.collect();
        for outbox in &outboxes {
            frames(outbox);
        }
        (harness, outboxes)
    }

    pub(super) fn on(&mut self, input: Input) {
        let (settings, cluster) = (&self.settings, &self.cluster);
        let environment = &Environment { now: self.now, settings, cluster };
        let mut effects = Effects::default();
        self.replica.on(input, environment, &mut effects);
        self.replica.advance(environment, &mut effects);
        self.note(effects);
    }

    pub(super) fn note(&mut self, effects: Effects) {
        self.calls.extend(effects.append);
        self.reads.extend(effects.read);
        self.replays.extend(effects.replays);
        self.retries.extend(effects.join_retries);
        self.counts.extend(effects.counts);
        self.retires |= effects.retire;
        self.subscriptions += usize::from(effects.resubscribe.is_some());
    }

    pub(super) fn after(&mut self, time: Duration) {
        self.now += time;
        self.on(Input::Deadline);
    }

    /// Asks to join, with what was seen before.
    pub(super) fn ask_to_join(&mut self, letter: char, position: Option<Seq>) -> Arc<Outbox> {
        let join = Join::simple(&key(letter), 1, "n_one".parse().unwrap());
        self.ask(Join { position, ..join })
    }

    /// Asks to join over another socket.
    pub(super) fn ask_to_join_again(&mut self, letter: char, attempt: u64) -> Arc<Outbox> {
        self.ask(Join::simple(&key(letter), attempt, "n_one".parse().unwrap()))
    }

    fn ask(&mut self, join: Join) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox::new(1 << 20));
        let reply = Reply { outbox: outbox.clone(), id: None };
        self.on(Input::Command(Command::Join(Box::new(JoinCommand { join, ice: None, reply }))));
        outbox
    }

    pub(super) fn member(&mut self, letter: char, seq: u64) -> Arc<Outbox> {
        let outbox = self.ask_to_join(letter, None);
        self.answer([joined(seq, Recovery::New)]);
        self.on(Input::Event(batch(seq - 1, seq, join_of(letter, seq))));
        outbox
    }

    /// Has a member come back behind `position`, at the entry 3, behind a signal at 2.
    pub(super) fn resumed(&mut self, letter: char, position: u64) -> Arc<Outbox> {
        let seq = 3;
        self.on(Input::Event(batch(1, 2, signal_of('B', 1))));
        let outbox = self.ask_to_join(letter, Some(Seq(position)));
        self.answer([joined(seq, Recovery::Replay)]);
        let entry = Entry::Joined {
            peer: peer(letter),
            n: seq,
            node: "n_one".parse().unwrap(),
            resumed: true,
            user: None,
            meta: None,
        };
        self.on(Input::Event(batch(seq - 1, seq, entry)));
        outbox
    }

    pub(super) fn say(&mut self, letter: char, mid: u64) {
        let id = MessageId { peer: peer(letter), socket: socket(letter), mid: Mid(mid) };
        let what = Ordered::Signal { to: None, data: json(), span: None };
        self.on(Input::Command(Command::Ordered { id, what }));
    }

    pub(super) fn call(&mut self) -> AppendCall {
        self.calls.remove(0)
    }

    pub(super) fn answer<const N: usize>(&mut self, outcomes: [Outcome; N]) {
        let call = self.call();
        assert_eq!(call.ops.len(), N, "{:?}", call.ops);
        self.on(Input::Answered(call.ops, Ok(outcomes.into())));
    }

    pub(super) fn answer_all(&mut self, outcome: &Outcome) {
        while !self.calls.is_empty() {
            let call = self.call();
            let outcomes = vec![outcome.clone(); call.ops.len()];
            self.on(Input::Answered(call.ops, Ok(outcomes)));
        }
    }

    pub(super) fn replay(&mut self, page: Vec<FeedEvent>) {
        let batches = page.into_iter().map(|event| match event {
            FeedEvent::Batch(batch) => Batch::clone(&batch),
            other => panic!("{other:?} in a page"),
        });
        let mut replay = self.replays.remove(0);
        replay.fill(batches.collect());
        self.on(Input::ReplayPage(Box::new(replay)));
    }

    pub(super) fn reset(&mut self, prev: u64, seq: u64, roster: Vec<ResetMember>) {
        self.on(Input::Event(batch(prev, seq, Entry::Reset { roster })));
    }
}
