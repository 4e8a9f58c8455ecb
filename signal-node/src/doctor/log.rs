//! Redis as a node has it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use service_kit::redis_access::{self, RedisAccess};
use signal_protocol::{NodeId, PeerKey, RoomId, Seq};

use super::report::{self, Finding, Report};
use crate::log::redis::{Facts, Publishing, RedisLog, RedisPrefix, exposure};
use crate::log::{
    Claim, FeedEvent, HeartbeatStore as _, Join, Judgement, LogError, Op, Outcome, Retention,
    RoomLog as _, SocketId, Volatile,
};

/// How often Redis is asked for its latency.
const QUESTIONS: usize = 200;

/// More than this for one call, and joins take noticeably longer.
const SLOW: Duration = Duration::from_millis(20);

/// How long what is published may take to come back.
const ECHO_WITHIN: Duration = Duration::from_secs(3);

const KEEP: Duration = Duration::from_secs(60);

/// After so much silence the connections would be replaced.
const LEASE: Duration = Duration::from_secs(6);

pub(super) async fn examine(
    access: &RedisAccess,
    (prefix, publishing): &(RedisPrefix, Publishing),
    report: &mut Report<'_>,
) {
    let retention = Retention { age: KEEP, length: 64, bytes: 1 << 20, room: KEEP };
    let log = match RedisLog::connect(access, prefix, *publishing, retention, LEASE).await {
        Ok(log) => log,
        Err(LogError::Unsuitable(why)) => {
            let advice = "see docs/run/redis.md";
            return report.add(report::fail("redis", why, advice));
        }
        Err(error) => {
            let error = error.to_string();
            let advice = redis_access::advice(&error)
                .unwrap_or("look at SIGNAL_NODE_REDIS_URL: host, port, user and password");
            return report.add(report::fail("redis", error, advice));
        }
    };
    if let Some(open) = exposure(access) {
        let advice = "give it a user of its own, and use rediss:// where others are on the way";
        report.add(report::warn("way", format!("it is reached {open}"), advice));
    }
    facts(&log.facts().await, report);
    let room: RoomId = format!("doctor-{}", service_kit::random::token())
        .parse()
        .expect("base64url is of the alphabet");
    match work(&log, &room).await {
        Ok(finding) => report.add(finding),
        Err(error) => return report.add(not_allowed(&error)),
    }
    report.add(latency(&log, &room).await);
}

fn facts(facts: &Facts, report: &mut Report<'_>) {
    match (&facts.version, facts.major()) {
        (Some(version), Some(7..)) => {
            report.add(report::ok("redis", format!("version {version}")));
        }
        (Some(version), _) => report.add(report::fail(
            "redis",
            format!("version {version}"),
            "rooms need Redis 7.0 or newer",
        )),
        (None, _) => report.add(report::warn(
            "redis",
            "it does not tell its version",
            "allow INFO to this user, or see to it that it is 7.0 or newer",
        )),
    }
    match facts.eviction.as_deref() {
        Some("noeviction") => report.add(report::ok("eviction", "noeviction")),
        Some(policy) => report.add(report::fail(
            "eviction",
            policy,
            "set maxmemory-policy noeviction, or Redis forgets rooms that are in use",
        )),
        None => {}
    }
}

/// Everything that a node does with a room: what is not allowed to its user fails here.
async fn work(log: &RedisLog, room: &RoomId) -> Result<Finding, LogError> {
    let key: PeerKey = service_kit::random::token().parse().expect("22 of the alphabet");
    let node: NodeId = "n_doctor".parse().expect("of the alphabet");
    let mut feed = log.open(room).await?;
    let join = Op::Join(Box::new(wish(&key, node.clone())));
    let Some(Outcome::Joined(joined)) = log.call(room, Seq(0), &[join]).await?.pop() else {
        return Err(LogError::UnexpectedReply("a join came to nothing".to_owned()));
    };
    let by = Claim { peer: key.peer().clone(), generation: joined.seq };
    let volatile = Volatile { from: by.peer.clone(), to: None, data: nothing() };
    log.publish_volatile(room, &[volatile]).await?;
    log.read(room, Seq(0), 10).await?;
    log.call(room, joined.seq, &[Op::Leave { by }, Op::Maintain]).await?;
    log.exchange(&node, false).await?;
    let echo = tokio::time::timeout(ECHO_WITHIN, feed.next()).await;
    Ok(match echo {
        Ok(Some(FeedEvent::Batch(_) | FeedEvent::Volatile(_))) => {
            report::ok("work", "joins, signals, subscriptions and heartbeats are allowed")
        }
        Ok(Some(FeedEvent::Gap) | None) | Err(_) => report::fail(
            "work",
            "what is published does not come back",
            "allow the channels of rooms to this user, or set SIGNAL_NODE_REDIS_PUBLISHING=plain behind a proxy",
        ),
    })
}

fn nothing() -> Arc<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("an object").into()
}

fn wish(key: &PeerKey, node: NodeId) -> Join {
    Join {
        peer: key.peer().clone(),
        key_hash: key.hash().to_owned(),
        attempt: 1,
        socket: SocketId::random(),
        node,
        user: None,
        meta: nothing(),
        keeps_meta: true,
        capacity: 8,
        token_capacity: None,
        seals_at: None,
        per_subject: 8,
        position: None,
        settled: None,
        grace: KEEP,
        expires: false,
        judgement: Judgement::certain(Vec::new()),
        waits: false,
        asked_at: None,
    }
}

fn not_allowed(error: &LogError) -> Finding {
    let error = error.to_string();
    let advice = redis_access::advice(&error).unwrap_or("look into the log of Redis");
    report::fail("work", error, advice)
}

async fn latency(log: &RedisLog, room: &RoomId) -> Finding {
    let mut took = Vec::with_capacity(QUESTIONS);
    for _ in 0..QUESTIONS {
        let began = Instant::now();
        if let Err(error) = log.call(room, Seq(0), &[Op::Inspect]).await {
            return report::fail("latency", error.to_string(), "look into the log of Redis");
        }
        took.push(began.elapsed());
    }
    took.sort();
    let (half, most) = (took[QUESTIONS / 2], took[QUESTIONS * 99 / 100]);
    let found =
        format!("p50 {:.2} ms, p99 {:.2} ms", half.as_secs_f64() * 1e3, most.as_secs_f64() * 1e3);
    if most > SLOW {
        return report::warn(
            "latency",
            found,
            "put Redis nearer, or find out what keeps it busy: SLOWLOG GET",
        );
    }
    report::ok("latency", found)
}
