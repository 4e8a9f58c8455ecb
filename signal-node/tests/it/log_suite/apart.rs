//! Several deployments on one Redis: by prefixes, and by databases, which channels know nothing of.

use service_kit::redis_access::RedisAccess;
use signal_node::log::{HeartbeatStore as _, Revocations as _, Revoked, RevokedBy, RevokedList};

use super::stage::*;

async fn connect(redis: &TestRedis, prefix: &str, database: u8) -> RedisLog {
    let access = RedisAccess { database, ..redis.access() };
    let prefix = prefix.parse().unwrap();
    RedisLog::connect(&access, &prefix, Publishing::Sharded, KEEP, LEASE).await.unwrap()
}

#[tokio::test]
async fn deployments_on_one_redis_hear_nothing_of_each_other() {
    let redis = TestRedis::start().await;
    let room: RoomId = "suite".parse().unwrap();
    let mut logs = Vec::new();
    for (prefix, database) in [("", 0), ("", 1), ("eu:", 0), ("eu:", 1)] {
        let log = connect(&redis, prefix, database).await;
        let feed = log.open(&room).await.unwrap();
        logs.push((log, feed));
    }
    for (log, feed) in &mut logs {
        let joined = log.call(&room, Seq(0), &[Op::Join(Box::new(wish("ana")))]).await.unwrap();
        assert!(matches!(&joined[0], Outcome::Joined(joined) if joined.roster.is_empty()));
        // The first that each hears is its own.
        let batch = next_batch(feed).await;
        let Outcome::Joined(joined) = &joined[0] else { unreachable!() };
        assert_eq!(batch.last(), joined.seq);
        let data = json("1");
        let told = Volatile { from: id("ana"), to: None, data };
        log.publish_volatile(&room, &[told]).await.unwrap();
        assert!(matches!(feed.next().await, Some(FeedEvent::Volatile(_))));
    }
    let mut keys: Vec<String> = redis.run(&["KEYS", "*:h"]).await;
    keys.sort();
    assert_eq!(keys, ["eu:{suite}:h", "{suite}:h"]);
}

#[tokio::test]
async fn what_all_rooms_share_has_the_prefix_too() {
    let redis = TestRedis::start().await;
    let (plain, eu) = (connect(&redis, "", 0).await, connect(&redis, "eu:", 0).await);
    plain.exchange(&"n_one".parse().unwrap(), true).await.unwrap();
    let seen = eu.exchange(&"n_two".parse().unwrap(), true).await.unwrap();
    assert_eq!(seen.counters.len(), 1, "{seen:?}");
    let names = Revoked::new(RevokedBy::Sub, "ana").map(|name| (name, u64::MAX / 2));
    let changes = RevokedList { until: names.into_iter().collect(), ..RevokedList::default() };
    eu.write(&changes).await.unwrap();
    assert!(plain.revoked(0).await.unwrap().is_none());
    assert!(eu.revoked(0).await.unwrap().is_some());
}
