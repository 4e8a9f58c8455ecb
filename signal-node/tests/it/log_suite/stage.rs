//! Two nodes' views of one log, and what is needed to ask it.

pub(super) use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
pub(super) use std::time::Duration;

pub(super) use serde_json::value::RawValue;
use service_kit::clock::unix_now;
pub(super) use signal_node::log::memory::MemoryLog;
pub(super) use signal_node::log::redis::{Publishing, RedisLog, RedisPrefix};
pub(super) use signal_node::log::{
    Batch, Claim, Entry, EventStore, Feed, FeedEvent, Join, JoinRefusal, Joined, Judgement,
    LogError, Op, Outcome, Payload, Post, Record, Restored, Retention, RoomLog, RoomView, Silent,
    SocketId, Volatile,
};
pub(super) use signal_protocol::{ErrorCode, Mid, PeerId, PeerKey, Recovery, RoomId, Seq, Subject};

pub(super) use crate::support::redis::TestRedis;

pub(super) const HOUR: Duration = Duration::from_secs(3_600);
/// So long a connection may be silent.
pub(super) const LEASE: Duration = Duration::from_secs(6);

pub(super) const KEEP: Retention = Retention {
    age: Duration::from_secs(120),
    length: 64,
    bytes: 1 << 20,
    room: Duration::from_secs(300),
};

/// Two nodes' views of one log, and one room in it.
pub(super) struct Stage {
    pub(super) one: Arc<dyn RoomLog>,
    pub(super) two: Arc<dyn RoomLog>,
    pub(super) room: RoomId,
    pub(super) redis: Option<TestRedis>,
    /// By how many seconds the clock of the log in memory is off.
    off: Arc<AtomicI64>,
}

impl Stage {
    pub(super) fn memory() -> Self {
        Self::memory_with_a_clock()
    }

    /// A log in memory whose clock [`Stage::step_clock`] sets.
    pub(super) fn memory_with_a_clock() -> Self {
        let off = Arc::new(AtomicI64::new(0));
        let clock = {
            let off = off.clone();
            move || shifted(unix_now(), &off)
        };
        let log: Arc<dyn RoomLog> = Arc::new(MemoryLog::with_clock(KEEP, clock));
        Self { one: log.clone(), two: log, room: "suite".parse().unwrap(), redis: None, off }
    }

    pub(super) async fn redis(publishing: Publishing) -> Self {
        Self::over(TestRedis::start().await, publishing).await
    }

    /// A log in a Redis whose clock [`Stage::step_clock`] sets.
    pub(super) async fn redis_with_a_clock() -> Self {
        Self::over(TestRedis::with_a_clock_to_step().await, Publishing::Sharded).await
    }

    async fn over(redis: TestRedis, publishing: Publishing) -> Self {
        let access = redis.access();
        let prefix = RedisPrefix::default();
        let connect = || RedisLog::connect(&access, &prefix, publishing, KEEP, LEASE);
        let (one, two) = tokio::try_join!(connect(), connect()).unwrap();
        let room = "suite".parse().unwrap();
        let off = Arc::default();
        Self { one: Arc::new(one), two: Arc::new(two), room, redis: Some(redis), off }
    }

    /// A log in memory that stores events.
    pub(super) fn memory_with_events() -> (Self, Arc<dyn EventStore>) {
        let log = Arc::new(MemoryLog::new(KEEP).with_events(HOUR, LEASE));
        let (one, two, room) = (log.clone(), log.clone(), "suite".parse().unwrap());
        (Self { one, two, room, redis: None, off: Arc::default() }, log)
    }

    /// A log in Redis that stores events; both nodes do.
    pub(super) async fn redis_with_events() -> (Self, Arc<dyn EventStore>) {
        let redis = TestRedis::start().await;
        let (access, prefix) = (redis.access(), RedisPrefix::default());
        let connect = || RedisLog::connect(&access, &prefix, Publishing::Sharded, KEEP, LEASE);
        let (one, two) = tokio::try_join!(connect(), connect()).unwrap();
        let [one, two] = [one, two].map(|log| Arc::new(log.with_events(HOUR, LEASE)));
        let (room, off) = ("suite".parse().unwrap(), Arc::default());
        (Self { one: one.clone(), two, room, redis: Some(redis), off }, one)
    }

    /// Sets the clock of the log off by so many seconds. Valkey reads its clock ten times a second, and counts on between.
    pub(super) async fn step_clock(&self, seconds: i64) {
        self.off.store(seconds, Ordering::Relaxed);
        if let Some(redis) = &self.redis {
            redis.step_clock(seconds);
            let is_set = |now: Duration| now.abs_diff(shifted(unix_now(), &self.off)).as_secs() < 1;
            while !is_set(self.now().await) {}
        }
    }

    /// Returns the time by the clock of the log.
    pub(super) async fn now(&self) -> Duration {
        match &self.redis {
            Some(redis) => {
                let [seconds, micros] = redis.run::<[u64; 2]>(&["TIME"]).await;
                Duration::from_secs(seconds) + Duration::from_micros(micros)
            }
            None => shifted(unix_now(), &self.off),
        }
    }

    pub(super) async fn call(&self, ops: &[Op]) -> Vec<Outcome> {
        self.one.call(&self.room, Seq(0), ops).await.unwrap()
    }

    pub(super) async fn step(&self, op: Op) -> Outcome {
        self.call(&[op]).await.remove(0)
    }

    pub(super) async fn join(&self, who: &str) -> Joined {
        joined(self.step(Op::Join(Box::new(wish(who)))).await)
    }

    pub(super) async fn enter(&self, who: &str) -> Claim {
        claim(who, &self.join(who).await)
    }

    pub(super) async fn try_join(&self, join: Join) -> JoinRefusal {
        match self.step(Op::Join(Box::new(join))).await {
            Outcome::JoinRefused(refusal) => refusal,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    pub(super) async fn inspect(&self) -> RoomView {
        match self.step(Op::Inspect).await {
            Outcome::Room(view) => *view,
            other => panic!("expected a room, got {other:?}"),
        }
    }

    pub(super) async fn all(&self) -> Vec<Batch> {
        self.two.read(&self.room, Seq(0), 1_000).await.unwrap()
    }
}

fn shifted(now: Duration, off: &AtomicI64) -> Duration {
    let off = off.load(Ordering::Relaxed);
    let by = Duration::from_secs(off.unsigned_abs());
    if off < 0 { now.saturating_sub(by) } else { now + by }
}

pub(super) fn key(who: &str) -> PeerKey {
    format!("{who:A<22}").parse().unwrap()
}

pub(super) fn id(who: &str) -> PeerId {
    key(who).peer().clone()
}

pub(super) fn json(text: &str) -> Payload {
    RawValue::from_string(text.to_owned()).unwrap().into()
}

pub(super) fn wish(who: &str) -> Join {
    Join {
        peer: id(who),
        key_hash: key(who).hash().to_owned(),
        attempt: 1,
        socket: SocketId::random(),
        node: "n_one".parse().unwrap(),
        // With what a line of words or a text in JSON would have to quote.
        user: Some(Subject::new(&format!("urn:\"{who}\" é")).unwrap()),
        meta: json(&format!(r#"{{"name":"{who}"}}"#)),
        keeps_meta: false,
        capacity: 64,
        token_capacity: None,
        seals_at: None,
        per_subject: 4,
        position: None,
        settled: None,
        grace: HOUR,
        expires: true,
        judgement: Judgement::certain(Vec::new()),
        waits: false,
        asked_at: None,
    }
}

pub(super) fn joined(outcome: Outcome) -> Joined {
    match outcome {
        Outcome::Joined(joined) => *joined,
        other => panic!("expected a join, got {other:?}"),
    }
}

pub(super) fn claim(who: &str, joined: &Joined) -> Claim {
    Claim { peer: id(who), generation: joined.seq }
}

pub(super) fn say(by: &Claim, mid: u64, to: Option<&str>) -> Op {
    let data = json(&format!("[{mid}]"));
    Op::Signal { by: by.clone(), mid: Mid(mid), to: to.map(id), data, span: None }
}

pub(super) async fn next_batch(feed: &mut Feed) -> Arc<Batch> {
    match feed.next().await {
        Some(FeedEvent::Batch(batch)) => batch,
        other => panic!("expected a batch, got {other:?}"),
    }
}
