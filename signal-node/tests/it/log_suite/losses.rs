//! Keys of a room that vanish one by one, as after an eviction, a restart from a snapshot, or different ends.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::stage::*;

const WHO: [&str; 3] = ["ana", "bo", "cy"];
const KEYS: [&str; 4] = ["h", "m", "l", "f"];

/// Returns the keys that have no TTL.
const ENDLESS: &str = "local found = {} \
    for _, key in ipairs(redis.call('KEYS', '*')) do \
        if redis.call('PTTL', key) == -1 then found[#found + 1] = key end \
    end \
    return found";

#[derive(Clone, Debug)]
enum Step {
    Join(usize),
    Say(usize, Option<usize>),
    Update(usize),
    Detach(usize),
    Leave(usize),
    /// By a back end, which has seen nothing of the room.
    Kick(usize),
    Configure(u32),
    Inspect,
    Maintain,
    /// The keys whose bits are set are gone.
    Lose(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Step::Join),
        6 => (0..3_usize, proptest::option::of(0..3_usize)).prop_map(|(who, to)| Step::Say(who, to)),
        2 => (0..3_usize).prop_map(Step::Update),
        1 => (0..3_usize).prop_map(Step::Detach),
        1 => (0..3_usize).prop_map(Step::Leave),
        1 => (0..3_usize).prop_map(Step::Kick),
        2 => (3..6_u32).prop_map(Step::Configure),
        1 => Just(Step::Inspect),
        1 => Just(Step::Maintain),
        6 => (1..16_u8).prop_map(Step::Lose),
    ]
}

/// A node that holds all members of the room, and follows the rules of `room/recovery.rs` in as few lines as they take.
struct Holder<'a> {
    stage: &'a Stage,
    room: RoomId,
    seen: Seq,
    held: BTreeMap<usize, Restored>,
    attempts: u64,
    capacity: Option<u32>,
    /// The keys that were lost since the last check.
    lost: u8,
}

impl Holder<'_> {
    async fn try_call(&self, seen: Seq, op: Op) -> Result<Outcome, LogError> {
        Ok(self.stage.one.call(&self.room, seen, &[op]).await?.remove(0))
    }

    /// Calls as a room does: what the log has lost is restored first.
    async fn call(&mut self, op: Op) -> Outcome {
        match self.try_call(self.seen, op.clone()).await {
            Ok(outcome) => outcome,
            Err(LogError::RolledBack { .. }) => {
                self.restore().await;
                self.try_call(self.seen, op).await.unwrap()
            }
            Err(error) => panic!("{op:?}: {error}"),
        }
    }

    async fn restore(&mut self) {
        let held = self.held.values().cloned();
        let mut ops: Vec<Op> = held.map(|held| Op::Restore(Box::new(held))).collect();
        ops.push(Op::Reset);
        let outcomes = self.stage.one.call(&self.room, self.seen, &ops).await.unwrap();
        let Some(Outcome::Appended(seq)) = outcomes.last() else { panic!("{outcomes:?}") };
        self.seen = *seq;
    }

    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Join(who) => self.join(who).await,
            Step::Say(who, to) => {
                let to = to.map(|to| WHO[to]);
                self.message(who, |by, mid| say(&by, mid.0, to)).await;
            }
            Step::Update(who) => {
                self.message(who, |by, mid| Op::Update { by, mid, meta: json("[]") }).await;
            }
            Step::Detach(who) => self.end(who, |by| Op::Detach { by }).await,
            Step::Leave(who) => self.end(who, |by| Op::Leave { by }).await,
            Step::Kick(who) => {
                // While the room recovers, the log may not know the member yet: another round kicks it.
                let kick = Op::Kick { peer: id(WHO[who]), ban: Duration::ZERO };
                let outcome = self.try_call(Seq(0), kick).await.unwrap();
                if matches!(outcome, Outcome::Appended(_)) {
                    self.held.remove(&who);
                }
            }
            Step::Configure(cap) => {
                let op = Op::Configure { capacity: Some(cap), locked: None };
                self.try_call(Seq(0), op).await.unwrap();
                self.capacity = Some(cap);
            }
            Step::Inspect => drop(self.try_call(Seq(0), Op::Inspect).await.unwrap()),
            Step::Maintain => drop(self.call(Op::Maintain).await),
            Step::Lose(keys) => self.lose(keys).await,
        }
    }

    async fn lose(&mut self, keys: u8) {
        for (_, kind) in KEYS.iter().enumerate().filter(|(bit, _)| keys & (1 << bit) != 0) {
            let key = format!("{{{}}}:{kind}", self.room);
            self.stage.redis.as_ref().unwrap().run::<u64>(&["DEL", &key]).await;
        }
        self.lost |= keys;
        if self.lost & 0b1001 == 0b1001 {
            // Both places of the configuration are gone.
            self.capacity = None;
        }
    }

    async fn join(&mut self, who: usize) {
        if self.held.contains_key(&who) {
            return;
        }
        self.attempts += 1;
        let join = Join { attempt: self.attempts, ..wish(WHO[who]) };
        for _ in 0..3 {
            match self.call(Op::Join(Box::new(join.clone()))).await {
                Outcome::Joined(joined) => {
                    self.seen = self.seen.max(joined.seq);
                    let by = claim(WHO[who], &joined);
                    let record = Record::new(join.clone(), &joined);
                    let (socket, n, mid) = (join.socket, joined.n, joined.mid);
                    self.held.insert(who, Restored { by, socket, n, mid, record });
                    return;
                }
                Outcome::Recovering => self.check().await,
                other => panic!("{other:?} to a join"),
            }
        }
        // Its claim is lost, and no node holds it: it is waited for as long as nodes may restore it.
    }

    async fn message(&mut self, who: usize, op: impl Fn(Claim, Mid) -> Op) {
        for _ in 0..3 {
            let Some(held) = self.held.get(&who) else { return };
            let mid = held.mid.next();
            let outcome = self.call(op(held.by.clone(), mid)).await;
            match outcome {
                Outcome::Appended(seq) => self.seen = self.seen.max(seq),
                Outcome::Refused(ErrorCode::PeerNotFound) => {}
                Outcome::Gone(_) | Outcome::Suspected(_) | Outcome::Recovering => {
                    self.restore().await;
                    if matches!(outcome, Outcome::Recovering) {
                        return;
                    }
                    continue;
                }
                other => panic!("{other:?} to message {mid} of {}", WHO[who]),
            }
            self.held.get_mut(&who).unwrap().mid = mid;
            return;
        }
        panic!("a message is never settled");
    }

    async fn end(&mut self, who: usize, op: impl Fn(Claim) -> Op) {
        let Some(held) = self.held.get(&who) else { return };
        // A member that the log has lost is restored, and lost again by its node, as a socket ends after a loss.
        let by = held.by.clone();
        if matches!(self.call(op(by.clone())).await, Outcome::Gone(_)) {
            self.restore().await;
            self.call(op(by)).await;
        }
        self.held.remove(&who);
    }

    /// After any step the members are known, once their node has heard of a loss, and what is configured holds.
    async fn check(&mut self) {
        let holds = |room: &RoomView, held: &BTreeMap<usize, Restored>| {
            let is_here = |who: &usize| {
                room.members.iter().any(|line| line.peer == id(WHO[*who]) && line.away.is_none())
            };
            held.keys().all(is_here)
        };
        for attempt in 0.. {
            let Outcome::Room(room) = self.call(Op::Inspect).await else { panic!() };
            self.seen = self.seen.max(room.head);
            if holds(&room, &self.held) {
                assert_eq!(room.capacity, self.capacity, "what is configured");
                // Nodes do that now and then; it brings both copies of the configuration to the same.
                self.call(Op::Maintain).await;
                self.lost = 0;
                break;
            }
            assert!(attempt < 2, "{:?} are not restored: {room:?}", self.held.keys());
            self.restore().await;
        }
        let redis = self.stage.redis.as_ref().unwrap();
        let endless: Vec<String> = redis.run(&["EVAL", ENDLESS, "0"]).await;
        assert!(endless.is_empty(), "{endless:?} have no end");
    }
}

#[test]
fn a_room_survives_the_loss_of_any_of_its_keys_between_any_two_calls() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stage = runtime.block_on(Stage::redis(Publishing::Sharded));
    let mut runner =
        TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let rooms = std::cell::Cell::new(0);
    let result = runner.run(&proptest::collection::vec(step(), 1..25), |steps| {
        rooms.set(rooms.get() + 1);
        runtime.block_on(async {
            let room = format!("lost-{}", rooms.get()).parse().unwrap();
            let (seen, held, attempts) = (Seq(0), BTreeMap::new(), 0);
            let mut holder =
                Holder { stage: &stage, room, seen, held, attempts, capacity: None, lost: 0 };
            for step in &steps {
                holder.take(step).await;
                if !matches!(step, Step::Lose(_)) {
                    holder.check().await;
                }
            }
            stage.redis.as_ref().unwrap().run::<String>(&["FLUSHDB"]).await;
        });
        Ok(())
    });
    result.unwrap();
}

/// Everything was refused, also what would have freed memory, and the keys of rooms in use ended.
#[tokio::test]
async fn what_frees_memory_is_done_where_redis_has_none_left() {
    let stage = Stage::redis(Publishing::Sharded).await;
    let [ana, bo] = [stage.enter("ana").await, stage.enter("bo").await];
    let redis = stage.redis.as_ref().unwrap();
    redis.run::<String>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = stage.one.call(&stage.room, Seq(0), &[say(&ana, 1, None)]).await;
    assert!(matches!(refused, Err(LogError::WriteRefused(_))), "{refused:?}");
    for kind in ["h", "m", "l"] {
        redis.run::<u64>(&["PEXPIRE", &format!("{{suite}}:{kind}"), "5000"]).await;
    }
    assert!(matches!(stage.step(Op::Maintain).await, Outcome::Head(_)));
    for kind in ["h", "m", "l"] {
        let life = redis.run::<u64>(&["PTTL", &format!("{{suite}}:{kind}")]).await;
        assert!(life > 250_000, "{kind} lives for {life} ms");
    }
    assert!(matches!(stage.step(Op::Detach { by: ana.clone() }).await, Outcome::Appended(_)));
    assert!(matches!(stage.step(Op::Leave { by: bo }).await, Outcome::Appended(_)));
    let mixed = [say(&ana, 1, None), Op::Detach { by: ana.clone() }];
    let refused = stage.one.call(&stage.room, Seq(0), &mixed).await;
    assert!(matches!(refused, Err(LogError::WriteRefused(_))), "{refused:?}");
    redis.run::<String>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(matches!(stage.step(say(&ana, 1, None)).await, Outcome::Appended(_)));
}
