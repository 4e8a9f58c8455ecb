//! The state of the model: the real room, two nodes, and what the client still has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::mem::discriminant;
use std::time::Duration;

use serde_json::value::RawValue;
use signal_protocol::{NodeId, PeerId, PeerKey, Seq};

use super::super::room::RoomState;
use super::Action;
use crate::log::{Claim, Entry, Join, Judgement, Op, Outcome, Payload, Retention, Silent};

const KEEP: Retention = Retention {
    age: Duration::from_secs(60),
    length: 1_000,
    bytes: 1 << 20,
    room: Duration::from_secs(60),
};

/// The member as one node knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// The socket that holds the membership here, and its claim.
    pub(super) seat: Option<(u64, Seq)>,
    /// Joins whose outcome is known and whose entry was not reached.
    arrivals: BTreeMap<Seq, u64>,
    /// Calls that wait.
    pub(super) calls: VecDeque<Call>,
    /// A call that took effect and whose answer got lost: it is made again before any other.
    pub(super) flight: Option<Call>,
    /// Entries delivered so far.
    pub(super) heard: usize,
    pub(super) asleep: bool,
    pub(super) dead: bool,
}

/// What a socket asks of the room.
#[derive(Clone, Debug)]
pub(super) struct Call {
    socket: u64,
    op: Op,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) room: RoomState,
    pub(super) log: Vec<(Seq, Entry)>,
    pub(super) nodes: [Node; 2],
    /// Sockets that the client still has.
    pub(super) open: BTreeSet<u64>,
    /// Which socket each join entry is of.
    pub(super) joins: BTreeMap<Seq, u64>,
    pub(super) n: BTreeSet<u64>,
    pub(super) tried: u64,
    pub(super) said: u64,
    pub(super) faults: u8,
    pub(super) reclaimed: bool,
    pub(super) wrong: Option<&'static str>,
}

impl State {
    /// Everything that the future depends on.
    fn essence(&self) -> impl Hash + PartialEq + '_ {
        let node = |node: &Node| {
            let calls = node.calls.iter().chain(&node.flight).map(|call| format!("{call:?}"));
            let (seat, arrivals) = (node.seat, node.arrivals.clone());
            let calls: Vec<String> = calls.collect();
            (seat, arrivals, calls, node.flight.is_some(), node.heard, node.asleep, node.dead)
        };
        let member = self.room.members.get(&peer()).map(|member| format!("{member:?}"));
        let log: Vec<_> = self.log.iter().map(|(_, entry)| discriminant(entry)).collect();
        let rest = (self.tried, self.said, self.faults, self.reclaimed, self.wrong);
        (self.nodes.each_ref().map(node), member, log, &self.open, &self.joins, &self.n, rest)
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.essence() == other.essence()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.essence().hash(state);
    }
}

fn key() -> PeerKey {
    "AAAAAAAAAAAAAAAAAAAAAA".parse().expect("it is a key")
}

pub(super) fn peer() -> PeerId {
    key().peer().clone()
}

fn name(node: usize) -> NodeId {
    format!("n_{node}").parse().expect("it is an id")
}

pub(super) fn json() -> Payload {
    RawValue::from_string("{}".to_owned()).expect("it is JSON").into()
}

pub(super) fn join(node: usize, attempt: u64) -> Op {
    Op::Join(Box::new(Join::simple(&key(), attempt, name(node))))
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            room: RoomState::default(),
            log: Vec::new(),
            nodes: Default::default(),
            open: BTreeSet::new(),
            joins: BTreeMap::new(),
            n: BTreeSet::new(),
            tried: 0,
            said: 0,
            faults: 0,
            reclaimed: false,
            wrong: None,
        }
    }

    /// Takes one step in the room, as one atomic call.
    fn take(&mut self, op: Op) -> Outcome {
        let (mut outcomes, batch) =
            self.room.call(Seq(0), &[op], Duration::ZERO, &KEEP).expect("nothing is lost");
        let entries = batch.iter().flat_map(|batch| batch.numbered());
        self.log.extend(entries.map(|(seq, entry)| (seq, entry.clone())));
        outcomes.remove(0)
    }

    /// Returns the socket that holds the membership by the log up to an entry.
    fn holder(&self, upto: Seq) -> Option<u64> {
        let past = self.log.iter().take_while(|(seq, _)| *seq <= upto);
        past.fold(None, |holder, (seq, entry)| match entry {
            Entry::Joined { .. } => self.joins.get(seq).copied(),
            Entry::Left { .. } => None,
            _ => holder,
        })
    }

    pub(super) fn call(&mut self, at: usize, loses: bool) {
        let node = &mut self.nodes[at];
        let Some(call) = node.flight.take().or_else(|| node.calls.pop_front()) else { return };
        let outcome = self.take(call.op.clone());
        self.judge(&call, &outcome);
        if loses {
            self.nodes[at].flight = Some(call);
            return;
        }
        match outcome {
            Outcome::Joined(joined) => {
                let _ = self.nodes[at].arrivals.insert(joined.seq, call.socket);
            }
            Outcome::Suspected(generation) => self.suspected(at, call, generation),
            _ => {}
        }
    }

    /// Notes what an answer must never say.
    fn judge(&mut self, call: &Call, outcome: &Outcome) {
        match outcome {
            Outcome::Joined(joined) => {
                self.joins.entry(joined.seq).or_insert(call.socket);
                if self.joins[&joined.seq] != call.socket {
                    self.wrong = Some("two sockets were given one entry");
                }
                self.n.insert(joined.n);
            }
            Outcome::Appended(seq) => {
                if self.holder(Seq(seq.0 - 1)) != Some(call.socket) {
                    self.wrong = Some("a socket that does not hold the member had an effect");
                }
                self.reclaimed |= matches!(call.op, Op::Reclaim { .. });
            }
            _ => {}
        }
    }

    /// As `after_suspicion` in `room/outcomes.rs`.
    fn suspected(&mut self, at: usize, mut call: Call, generation: Seq) {
        let detaches = matches!(call.op, Op::Detach { .. });
        if !detaches && let Some(by) = call.op.claim_mut() {
            by.generation = generation;
            self.nodes[at].calls.push_front(call);
        }
        self.reclaim(at, generation);
    }

    /// As `LocalRoom::reclaim`.
    fn reclaim(&mut self, at: usize, generation: Seq) {
        let node = &mut self.nodes[at];
        let Some((socket, claim)) = node.seat.filter(|(_, claim)| *claim < generation) else {
            return;
        };
        node.seat = Some((socket, generation));
        for waiting in node.calls.iter_mut().filter_map(|call| call.op.claim_mut()) {
            if waiting.generation == claim {
                waiting.generation = generation;
            }
        }
        let op = Op::Reclaim { by: Claim { peer: peer(), generation } };
        node.calls.push_front(Call { socket, op });
    }

    /// As `deliver` and `apply` in `room/entries.rs`.
    pub(super) fn hear(&mut self, at: usize) {
        let (seq, entry) = self.log[self.nodes[at].heard].clone();
        self.nodes[at].heard += 1;
        match entry {
            Entry::Joined { .. } => {
                self.nodes[at].seat = None;
                if let Some(socket) = self.nodes[at].arrivals.remove(&seq) {
                    self.nodes[at].seat = Some((socket, seq));
                    if !self.open.contains(&socket) {
                        self.detach(at);
                    }
                }
            }
            Entry::Left { .. } => self.nodes[at].seat = None,
            Entry::Away { .. } => self.reclaim(at, seq),
            _ => {}
        }
        if let Some((socket, _)) = self.nodes[at].seat
            && self.holder(seq) != Some(socket)
        {
            self.wrong = Some("a socket heard more than its membership");
        }
    }

    fn detach(&mut self, at: usize) {
        if let Some((socket, generation)) = self.nodes[at].seat.take() {
            self.ask(at, socket, Op::Detach { by: Claim { peer: peer(), generation } });
        }
    }

    pub(super) fn ask(&mut self, at: usize, socket: u64, op: Op) {
        self.nodes[at].calls.push_back(Call { socket, op });
    }

    /// A join of ours in flight: its entry may come before its outcome, and waits for it.
    pub(super) fn waits(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        let next = self.log.get(node.heard);
        let ours = |entry: &Entry| matches!(entry, Entry::Joined { node, .. } if *node == name(at));
        let joining = node.flight.as_ref().is_some_and(|call| matches!(call.op, Op::Join(_)));
        joining && next.is_some_and(|(_, entry)| ours(entry))
    }

    pub(super) fn is_awake(&self, at: usize) -> bool {
        !self.nodes[at].dead && !self.nodes[at].asleep
    }

    /// Tells whether nothing is left to do but by chance.
    pub(super) fn is_quiet(&self) -> bool {
        self.nodes.iter().all(|node| {
            let idle = node.calls.is_empty() && node.flight.is_none();
            node.dead || (!node.asleep && idle && node.heard == self.log.len())
        })
    }

    /// Whoever holds a living socket is in the room as such; whoever is in the room as present has one.
    pub(super) fn agrees(&self) -> bool {
        let member = self.room.members.get(&peer());
        let mut seats = (0..2)
            .filter(|at| self.is_awake(*at))
            .filter_map(|at| self.nodes[at].seat.map(|(socket, claim)| (at, socket, claim)));
        match (member, seats.next(), seats.next()) {
            (_, _, Some(_)) => false,
            (None, seat, None) => seat.is_none(),
            (Some(member), Some((at, socket, claim)), None) => {
                let holds = member.attempt == socket && member.generation == claim;
                holds && member.node == name(at) && member.away_since.is_none()
            }
            (Some(member), None, None) => {
                member.away_since.is_some()
                    || (0..2).any(|at| self.nodes[at].dead && member.node == name(at))
            }
        }
    }
}

impl State {
    pub(super) fn fail(&mut self, fault: Action) {
        self.faults += 1;
        match fault {
            Action::Break(socket) => {
                self.open.remove(&socket);
                let holds =
                    |at: &usize| self.nodes[*at].seat.is_some_and(|(held, _)| held == socket);
                if let Some(at) = (0..2).find(holds).filter(|at| !self.nodes[*at].dead) {
                    self.detach(at);
                }
            }
            Action::Sleep(at) => self.nodes[at].asleep = true,
            Action::Wake(at) => {
                self.faults -= 1;
                self.nodes[at].asleep = false;
            }
            Action::Die(at) => self.nodes[at] = Node { dead: true, ..Node::default() },
            Action::Suspect(at) => {
                let silent = vec![Silent { node: name(at), ago: Duration::ZERO }];
                let judgement = Judgement::certain(silent);
                self.take(Op::Suspect { grace: Duration::ZERO, judgement });
            }
            Action::Expire => {
                let judgement = Judgement::certain(Vec::new());
                self.take(Op::Expire { grace: Duration::ZERO, judgement });
            }
            _ => {}
        }
    }
}
