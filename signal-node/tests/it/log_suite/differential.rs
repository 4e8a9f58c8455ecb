//! Random lives of a room, lived on both logs: they must answer alike, word for word.
//!
//! Numbers of entries come from clocks and differ, so each is replaced by its place in the log.

use std::collections::HashMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::stage::*;

const WHO: [&str; 3] = ["ana", "bo", "cy"];
const NODES: [&str; 2] = ["n_one", "n_two"];

/// A step, without the numbers that only the log knows.
#[derive(Clone, Debug)]
enum Wish {
    Join { who: usize, node: usize, attempt: u64, back: usize, socket: bool, seals: bool },
    Claimed { who: usize, age: usize, what: What },
    Kick { who: usize, bans: bool },
    Expire { all: bool },
    Suspect { node: usize },
    Advance { from: u64 },
    Configure { capacity: Option<u32>, locked: Option<bool> },
    Announce { key: Option<u8>, to: Option<usize> },
    Post { from: usize, count: u64, silent: Option<usize> },
    Inspect,
    Reset,
    Maintain,
}

/// What a member does with one of the claims it has had.
#[derive(Clone, Debug)]
enum What {
    Say { mid: u64, to: Option<usize> },
    Update { mid: u64 },
    Refuse { mid: u64 },
    Leave,
    Detach,
    Reclaim,
}

fn wish() -> impl Strategy<Value = Wish> {
    let claimed = (0..3_usize, 0..3_usize, what()).prop_map(|(who, age, what)| Wish::Claimed {
        who,
        age,
        what,
    });
    let seals = proptest::bool::weighted(0.1);
    let join = (0..3_usize, 0..2_usize, 0..5_u64, 0..6_usize, any::<bool>(), seals).prop_map(
        |(who, node, attempt, back, socket, seals)| Wish::Join {
            who,
            node,
            attempt,
            back,
            socket,
            seals,
        },
    );
    let configure = (proptest::option::of(1..4_u32), proptest::option::of(any::<bool>()))
        .prop_map(|(capacity, locked)| Wish::Configure { capacity, locked });
    prop_oneof![
        8 => join,
        16 => claimed,
        1 => (0..3_usize, any::<bool>()).prop_map(|(who, bans)| Wish::Kick { who, bans }),
        2 => any::<bool>().prop_map(|all| Wish::Expire { all }),
        3 => (0..2_usize).prop_map(|node| Wish::Suspect { node }),
        1 => configure,
        1 => (0..4_u64).prop_map(|from| Wish::Advance { from }),
        2 => (proptest::option::of(0..2_u8), proptest::option::of(0..3_usize))
            .prop_map(|(key, to)| Wish::Announce { key, to }),
        4 => (0..2_usize, 1..6_u64, proptest::option::of(0..2_usize))
            .prop_map(|(from, count, silent)| Wish::Post { from, count, silent }),
        1 => Just(Wish::Inspect),
        1 => Just(Wish::Reset),
        1 => Just(Wish::Maintain),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        6 => (1..6_u64, proptest::option::of(0..3_usize)).prop_map(|(mid, to)| What::Say { mid, to }),
        2 => (1..6_u64).prop_map(|mid| What::Update { mid }),
        2 => (1..6_u64).prop_map(|mid| What::Refuse { mid }),
        1 => Just(What::Leave),
        2 => Just(What::Detach),
        2 => Just(What::Reclaim),
    ]
}

/// One log, and what it has told so far.
struct Side {
    log: Arc<dyn RoomLog>,
    room: RoomId,
    sockets: HashMap<(usize, u64), SocketId>,
    /// The claims that each member has had, newest last.
    claims: HashMap<usize, Vec<Seq>>,
    told: Vec<Outcome>,
}

impl Side {
    fn op(&mut self, wish: &Wish, heads: &[Seq]) -> Option<Op> {
        Some(match wish {
            Wish::Join { who, node, attempt, back, socket, seals } => {
                let new = SocketId::random();
                let known = *self.sockets.entry((*who, *attempt)).or_insert(new);
                let position = heads.len().checked_sub(1 + back).map(|at| heads[at]);
                Op::Join(Box::new(Join {
                    attempt: *attempt,
                    socket: if *socket { known } else { new },
                    node: NODES[*node].parse().unwrap(),
                    capacity: 3,
                    seals_at: seals.then_some(2),
                    position,
                    expires: false,
                    ..super::stage::wish(WHO[*who])
                }))
            }
            Wish::Claimed { who, age, what } => self.claimed(*who, *age, what)?,
            Wish::Kick { who, bans } => {
                Op::Kick { peer: id(WHO[*who]), ban: if *bans { HOUR } else { Duration::ZERO } }
            }
            Wish::Expire { all } => {
                let judgement = Judgement::certain(Vec::new());
                Op::Expire { grace: if *all { Duration::ZERO } else { HOUR }, judgement }
            }
            Wish::Suspect { node } => {
                let node = NODES[*node].parse().unwrap();
                let silent = vec![Silent { node, ago: Duration::ZERO }];
                Op::Suspect { grace: HOUR, judgement: Judgement::certain(silent) }
            }
            Wish::Advance { from } => Op::Advance { from: *from },
            Wish::Configure { capacity, locked } => {
                Op::Configure { capacity: *capacity, locked: *locked }
            }
            Wish::Announce { key, to } => Op::Announce {
                key: key.map(|key| key.to_string()),
                to: to.map(|to| id(WHO[to])),
                data: json("1"),
            },
            Wish::Post { from, count, silent } => {
                let from = *self.sockets.entry((*from, 100)).or_insert_with(SocketId::random);
                let node = |node: &usize| NODES[*node].parse().unwrap();
                let silent = silent.iter().map(|at| Silent { node: node(at), ago: Duration::ZERO });
                let judgement = Judgement::certain(silent.collect());
                Op::Post(Box::new(Post {
                    from,
                    count: *count,
                    data: json("2"),
                    grace: HOUR,
                    judgement,
                }))
            }
            Wish::Inspect => Op::Inspect,
            Wish::Reset => Op::Reset,
            Wish::Maintain => Op::Maintain,
        })
    }

    fn claimed(&self, who: usize, age: usize, what: &What) -> Option<Op> {
        let had = self.claims.get(&who)?;
        let generation = had[had.len().checked_sub(1 + age)?];
        let by = Claim { peer: id(WHO[who]), generation };
        Some(match what {
            What::Say { mid, to } => say(&by, *mid, to.map(|to| WHO[to])),
            What::Update { mid } => Op::Update { by, mid: Mid(*mid), meta: json("{}") },
            What::Refuse { mid } => Op::Refuse { by, mid: Mid(*mid), code: ErrorCode::TooLarge },
            What::Leave => Op::Leave { by },
            What::Detach => Op::Detach { by },
            What::Reclaim => Op::Reclaim { by },
        })
    }

    async fn take(&mut self, wish: &Wish) {
        let heads: Vec<Seq> = self.all().await.iter().map(Batch::last).collect();
        let Some(op) = self.op(wish, &heads) else { return };
        let outcome = self.log.call(&self.room, Seq(0), &[op]).await.unwrap().remove(0);
        let who = match wish {
            Wish::Join { who, .. } | Wish::Claimed { who, .. } => *who,
            _ => 0,
        };
        match &outcome {
            Outcome::Joined(joined) => self.claims.entry(who).or_default().push(joined.seq),
            Outcome::Suspected(generation) => {
                self.claims.entry(who).or_default().push(*generation);
            }
            _ => {}
        }
        self.told.push(outcome);
    }

    async fn all(&self) -> Vec<Batch> {
        self.log.read(&self.room, Seq(0), 1_000).await.unwrap()
    }

    /// Everything that was told and kept, with places instead of numbers.
    async fn story(&self) -> String {
        let kept = self.all().await;
        let mut text = String::new();
        for outcome in &self.told {
            writeln!(text, "{}", without_time(outcome)).unwrap();
        }
        for batch in &kept {
            let mut batch = batch.clone();
            forget_time(&mut batch);
            writeln!(text, "{:?} {:?}", batch.prev, batch.entries).unwrap();
        }
        let numbers = kept.iter().flat_map(|batch| batch.numbered().map(|(seq, _)| seq));
        for (place, seq) in numbers.enumerate() {
            text = text.replace(&seq.0.to_string(), &format!("#{place}"));
        }
        text
    }
}

/// Absence is as long as it took.
fn without_time(outcome: &Outcome) -> String {
    let mut outcome = outcome.clone();
    let roster = match &mut outcome {
        Outcome::Joined(joined) => Some(&mut joined.roster),
        Outcome::Room(room) => Some(&mut room.members),
        _ => None,
    };
    if let Some(roster) = roster {
        let away = roster.iter_mut().filter_map(|line| line.away.as_mut());
        away.for_each(|away| *away = Duration::ZERO);
    }
    if let Outcome::JoinRefused(JoinRefusal::Full { after, .. }) = &mut outcome {
        *after = after.map(|_| Duration::ZERO);
    }
    format!("{outcome:?}")
}

fn forget_time(batch: &mut Batch) {
    for entry in &mut batch.entries {
        if let Entry::Reset { roster } = entry {
            let away = roster.iter_mut().filter_map(|reset_member| reset_member.line.away.as_mut());
            away.for_each(|away| *away = Duration::ZERO);
        }
    }
}

async fn live(log: Arc<dyn RoomLog>, room: &RoomId, wishes: &[Wish]) -> String {
    let (sockets, claims, told) = (HashMap::new(), HashMap::new(), Vec::new());
    let mut side = Side { log, room: room.clone(), sockets, claims, told };
    for wish in wishes {
        side.take(wish).await;
    }
    side.story().await
}

#[test]
fn both_logs_tell_the_same_story_of_any_life() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stage = runtime.block_on(Stage::redis(Publishing::Sharded));
    let memory: Arc<dyn RoomLog> = Arc::new(MemoryLog::new(KEEP));
    let mut runner =
        TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let rooms = std::cell::Cell::new(0);
    let lives = proptest::collection::vec(wish(), 1..40);
    let result = runner.run(&lives, |wishes| {
        rooms.set(rooms.get() + 1);
        let room: RoomId = format!("life-{}", rooms.get()).parse().unwrap();
        let (expected, found) = runtime.block_on(async {
            tokio::join!(
                live(memory.clone(), &room, &wishes),
                live(stage.one.clone(), &room, &wishes)
            )
        });
        prop_assert_eq!(expected, found);
        Ok(())
    });
    result.unwrap();
}
