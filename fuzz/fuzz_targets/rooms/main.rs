//! One room on two nodes over the log in memory: four clients that join, speak, move and vanish, a log whose calls and
//! entries are late or lost, or that comes back empty, and time that passes. Each byte of an input is one event.
//!
//! Under any input no client is sent anything before its `joined` that it did not ask to be replayed, `seq` grows on
//! each socket, and no call or publication is larger than its bound. When all has come to rest, each client has had
//! exactly the signals that the log holds since it was last told to begin anew.

#![no_main]

mod client;
mod node;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Client, Socket};
use futures_util::FutureExt as _;
use libfuzzer_sys::fuzz_target;
use node::{Cluster, GRACE, Node, retention, subscribed};
use serde_json::Value;
use signal_node::log::memory::MemoryLog;
use signal_node::log::{
    Batch, Entry, FeedEvent, Join, Judgement, LogError, Payload, RoomLog, SocketId, Volatile,
};
use signal_node::room::{
    AppendCall, Command, Delivery, FrameEvent, Input, JoinCommand, MessageId, Ordered, Outbox,
    Reply,
};
use signal_protocol::{Mid, RoomId, Seq};
use tokio::time::Instant;

const NODES: [&str; 2] = ["n_one", "n_two"];
const CLIENTS: usize = 4;

/// Rounds until every deaf subscription was noticed and every wait is over. Most are a second; the others are long
/// enough for a room to compare its position with the head of the log.
const REST: u32 = 16;
const COMPARE_EVERY: u32 = 8;
const COMPARE_AFTER: Duration = Duration::from_secs(21);

fuzz_target!(|bytes: &[u8]| {
    let mut world = World::new();
    for byte in bytes.iter().take(200) {
        world.event(byte & 0x0f, usize::from(byte >> 4));
        world.pass(Duration::from_millis(1));
    }
    world.rest();
    world.check();
});

struct World {
    log: MemoryLog,
    room: RoomId,
    clock: Arc<AtomicU64>,
    now: Instant,
    nodes: Vec<Node>,
    sockets: Vec<Socket>,
    clients: Vec<Client>,
    /// No entry up to here is in the log any more.
    wiped: Seq,
    /// Batches that are read at once.
    page: usize,
}

fn new_log(clock: &Arc<AtomicU64>) -> MemoryLog {
    let clock = clock.clone();
    MemoryLog::with_clock(retention(), move || Duration::from_micros(clock.load(Ordering::Relaxed)))
}

fn payload() -> Payload {
    serde_json::value::RawValue::from_string("1".to_owned()).expect("JSON").into()
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(AtomicU64::new(1_000_000_000_000));
        let (log, room) = (new_log(&clock), "demo".parse().expect("a room"));
        let nodes = NODES.map(|name| Node::new(name, &room, &log)).into();
        let letters = ["A", "B", "C", "D"].into_iter().take(CLIENTS);
        let (clients, sockets) = (letters.map(Client::new).collect(), Vec::new());
        let (now, wiped, page) = (Instant::now(), Seq(0), 4);
        Self { log, room, clock, now, nodes, sockets, clients, wiped, page }
    }

    fn pass(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.clock.fetch_add(micros, Ordering::Relaxed);
        self.now += time;
        for node in 0..self.nodes.len() {
            if self.nodes[node].replica.next_deadline().is_some_and(|at| at <= self.now) {
                self.on(node, Input::Deadline);
            }
        }
    }

    fn on(&mut self, node: usize, input: Input) {
        if self.nodes[node].on(input, self.now) {
            self.nodes[node].feed = subscribed(&self.log, &self.room);
            self.on(node, Input::Resubscribed);
        }
    }

    fn event(&mut self, kind: u8, which: usize) {
        let (node, client) = (which % 2, which % CLIENTS);
        match kind {
            0 | 1 => self.join(client, which / CLIENTS % 2),
            2 | 3 => self.say(client),
            4 => self.close(client, which >= 8),
            5 => self.hear(node, 1 + which / 2),
            6 => drop(self.nodes[node].feed.next_now()),
            7 => self.make_call(node),
            8 => self.answer(node),
            9 => self.lose_call(node, which >= 8),
            10 => self.read(node),
            11 => self.replay(node),
            12 => self.pass(Duration::from_millis(1 << which)),
            13 => self.take_frames(client, which),
            14 if which == 0 => self.wipe(),
            14 => self.suspect(node, which >= 8),
            _ => self.leave_or_tell(client, which >= 8),
        }
    }

    fn join(&mut self, client: usize, node: usize) {
        let Client { key, attempt, position, .. } = &mut self.clients[client];
        *attempt += 1;
        let (id, outbox) = (SocketId::random(), Arc::new(Outbox::new(1 << 24)));
        let join = Join {
            peer: key.peer().clone(),
            key_hash: key.hash().to_owned(),
            attempt: *attempt,
            socket: id,
            node: self.nodes[node].settings.node.clone(),
            user: None,
            meta: payload(),
            keeps_meta: true,
            capacity: 3,
            token_capacity: None,
            seals_at: None,
            per_subject: 8,
            position: *position,
            settled: None,
            grace: GRACE,
            expires: false,
            judgement: Judgement::certain(Vec::new()),
            waits: false,
            asked_at: None,
        };
        let (asked, last) = (*position, position.unwrap_or_default());
        let reply = Reply { outbox: outbox.clone(), id: None };
        self.sockets.push(Socket { client, node, id, outbox, asked, is_joined: false, last });
        let join = Box::new(JoinCommand { join, ice: None, reply });
        self.on(node, Input::Command(Command::Join(join)));
    }

    /// Finds the socket over which a client is in the room.
    fn joined(&self, client: usize) -> Option<&Socket> {
        self.sockets.iter().rev().find(|socket| socket.client == client && socket.is_joined)
    }

    fn say(&mut self, client: usize) {
        let Some((node, socket)) = self.joined(client).map(|s| (s.node, s.id)) else { return };
        let Client { key, next, .. } = &mut self.clients[client];
        let id = MessageId { peer: key.peer().clone(), socket, mid: Mid(*next) };
        *next += 1;
        let what = Ordered::Signal { to: None, data: payload(), span: None };
        self.on(node, Input::Command(Command::Ordered { id, what }));
    }

    fn leave_or_tell(&mut self, client: usize, leaves: bool) {
        let Some(Socket { node, id, outbox, .. }) = self.joined(client) else { return };
        let (node, socket, reply) = (*node, *id, Reply { outbox: outbox.clone(), id: None });
        let peer = self.clients[client].key.peer().clone();
        let command = if leaves {
            Command::Leave { peer, socket, reply }
        } else {
            Command::Volatile(Volatile { from: peer, to: None, data: payload() })
        };
        self.on(node, Input::Command(command));
    }

    /// Closes the oldest socket of a client, whose page may be closed.
    fn close(&mut self, client: usize, is_going_away: bool) {
        if let Some(at) = self.sockets.iter().position(|socket| socket.client == client) {
            self.close_socket(at, is_going_away);
        }
    }

    fn close_socket(&mut self, at: usize, is_going_away: bool) {
        let Socket { client, node, id: socket, outbox, .. } = self.sockets.remove(at);
        outbox.close();
        let peer = self.clients[client].key.peer().clone();
        self.on(node, Input::Command(Command::Detach { peer, socket, is_going_away }));
    }

    fn hear(&mut self, node: usize, count: usize) {
        for _ in 0..count {
            let Some(event) = self.nodes[node].feed.next_now() else { return };
            self.on(node, Input::Event(event));
        }
    }

    /// Has the log take the call of a node; the answer is on its way.
    fn make_call(&mut self, node: usize) {
        let publication = std::mem::take(&mut self.nodes[node].publication);
        if !publication.is_empty() {
            let _ = self.log.publish_volatile(&self.room, &publication).now_or_never();
            self.on(node, Input::Published);
        }
        let Some(AppendCall { seen, ops, .. }) = self.nodes[node].call.take() else { return };
        let answer = self.log.call(&self.room, seen, &ops).now_or_never();
        self.nodes[node].answer = Some((ops, answer.expect("a log in memory answers at once")));
    }

    fn answer(&mut self, node: usize) {
        if let Some((ops, answer)) = self.nodes[node].answer.take() {
            self.on(node, Input::Answered(ops, answer));
        }
    }

    /// Loses a call before it took effect, or its answer after.
    fn lose_call(&mut self, node: usize, is_taken: bool) {
        if is_taken {
            self.make_call(node);
        }
        let Node { call, answer, .. } = &mut self.nodes[node];
        let ops = answer.take().map(|(ops, _)| ops).or_else(|| call.take().map(|call| call.ops));
        if let Some(ops) = ops {
            self.on(node, Input::Answered(ops, Err(LogError::Unavailable("lost".to_owned()))));
        }
    }

    fn entries(&self, after: Seq, limit: usize) -> Vec<Batch> {
        let found = self.log.read(&self.room, after, limit).now_or_never();
        found.and_then(Result::ok).expect("a log in memory answers at once")
    }

    fn read(&mut self, node: usize) {
        if let Some(after) = self.nodes[node].read.take() {
            let found = self.entries(after, self.page);
            self.on(node, Input::Read(found));
        }
    }

    fn replay(&mut self, node: usize) {
        let Some(mut replay) = self.nodes[node].replays.pop() else { return };
        if let Some(after) = replay.read_after() {
            replay.fill(self.entries(after, self.page));
        }
        self.on(node, Input::ReplayPage(Box::new(replay)));
    }

    /// The log comes back without anything. Its numbers go on from the time.
    fn wipe(&mut self) {
        self.pass(Duration::from_secs(1));
        self.wiped = Seq(self.clock.load(Ordering::Relaxed));
        self.pass(Duration::from_secs(1));
        self.log = new_log(&self.clock);
        for node in 0..self.nodes.len() {
            self.nodes[node].feed = subscribed(&self.log, &self.room);
            self.on(node, Input::Event(FeedEvent::Gap));
        }
    }

    fn suspect(&mut self, node: usize, silent: bool) {
        let other = self.nodes[1 - node].settings.node.clone();
        self.nodes[node].cluster = Cluster(silent.then_some(other));
        self.on(node, Input::Command(Command::Suspect));
    }

    fn take_frames(&mut self, client: usize, count: usize) {
        for _ in 0..=count {
            let mut of_client = self.sockets.iter().enumerate().filter(|(_, s)| s.client == client);
            let next = of_client
                .find_map(|(at, socket)| Some((at, socket.outbox.pop().expect("no overflow")?)));
            let Some((at, delivery)) = next else { return };
            self.take_frame(at, &delivery);
        }
    }

    fn take_frame(&mut self, at: usize, Delivery { frame, event }: &Delivery) {
        let frame: Value = serde_json::from_slice(frame).expect("a frame that is JSON");
        let socket = &mut self.sockets[at];
        let client = &mut self.clients[socket.client];
        client.take(socket, &frame);
        match event {
            None | Some(FrameEvent::Traced(_) | FrameEvent::ForClient) => {}
            Some(FrameEvent::Joined(_)) => {
                socket.is_joined = true;
                let (id, owner) = (socket.id, socket.client);
                let other = |s: &Socket| s.client == owner && s.id != id;
                while let Some(other) = self.sockets.iter().position(other) {
                    self.close_socket(other, false);
                }
            }
            Some(_) => self.close_socket(at, false),
        }
    }

    /// Lets everything arrive until nothing more happens.
    fn rest(&mut self) {
        for node in 0..self.nodes.len() {
            self.suspect(node, false);
        }
        self.page = 64;
        for round in 0..REST {
            for node in (0..self.nodes.len()).cycle().take(4) {
                self.make_call(node);
                self.answer(node);
                self.hear(node, usize::MAX);
                self.read(node);
                (0..64).for_each(|_| self.replay(node));
            }
            for node in 0..self.nodes.len() {
                for join in std::mem::take(&mut self.nodes[node].joins) {
                    self.on(node, Input::JoinDue(Box::new(join)));
                }
            }
            (0..CLIENTS).for_each(|client| self.take_frames(client, usize::MAX - 1));
            let compares = round % COMPARE_EVERY == 0;
            self.pass(if compares { COMPARE_AFTER } else { Duration::from_secs(1) });
        }
    }

    fn check(&self) {
        let log = self.entries(Seq(0), usize::MAX);
        for socket in self.sockets.iter().filter(|socket| socket.is_joined) {
            let client = &self.clients[socket.client];
            let after = client.since.max(self.wiped);
            let is_due = |entry: &Entry| matches!(entry, Entry::Signal { from, .. } if from != client.key.peer());
            let entries = log.iter().flat_map(Batch::numbered);
            let due = entries.filter(|(seq, entry)| *seq > after && is_due(entry));
            let due: BTreeSet<Seq> = due.map(|(seq, _)| seq).collect();
            let got: BTreeSet<Seq> = client.got.range(Seq(after.0 + 1)..).copied().collect();
            assert_eq!(got, due, "signals of {} behind {after}", client.key.peer());
        }
        let waits = self.sockets.iter().any(|socket| !socket.is_joined);
        assert!(!waits, "a join that was never answered");
    }
}
