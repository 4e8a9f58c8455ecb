//! Nodes of version 0.1.0 and of this one on one Redis, as during a rolling update.

use super::stage::*;

/// The script of version 0.1.0.
const OLD: &str = concat!(
    include_str!("../../fixtures/redis-0.1.0/prelude.lua"),
    include_str!("../../fixtures/redis-0.1.0/join.lua"),
    include_str!("../../fixtures/redis-0.1.0/signal.lua"),
    include_str!("../../fixtures/redis-0.1.0/update.lua"),
    include_str!("../../fixtures/redis-0.1.0/leave.lua"),
    include_str!("../../fixtures/redis-0.1.0/takeover.lua"),
    include_str!("../../fixtures/redis-0.1.0/kick.lua"),
    include_str!("../../fixtures/redis-0.1.0/tend.lua"),
    include_str!("../../fixtures/redis-0.1.0/main.lua"),
);

/// How long a room lives, in ms, and the time for which an old node remembers its configuration, in µs.
const LIFE: &str = "300000";
const REMEMBERED: &str = "86400000000";

/// Makes a call as a node of version 0.1.0 does.
async fn old(stage: &Stage, step: &[&str]) -> Vec<String> {
    let keys = ["h", "m", "l", "c"].map(|kind| format!("{{{}}}:{kind}", stage.room));
    let mut words = vec!["EVAL", OLD, "4"];
    words.extend(keys.iter().map(String::as_str));
    words.extend(["SPUBLISH", "0"]);
    words.extend(step);
    let answers: Vec<redis::Value> = stage.redis.as_ref().unwrap().run(&words).await;
    let redis::Value::Array(answer) = &answers[0] else { panic!("{answers:?}") };
    let text = |value: &redis::Value| redis::from_redis_value(value.clone()).unwrap_or_default();
    answer.iter().map(text).collect()
}

async fn old_join(stage: &Stage, who: &str) -> Vec<String> {
    let (peer, hash) = (id(who), key(who).hash().to_owned());
    let user = wish(who).user.expect("a subject").to_string();
    let step = [
        "join",
        peer.as_str(),
        &hash,
        "1",
        "00000000000000aa",
        "n_old",
        &user,
        "64",
        "~",
        "4",
        "~",
        "3600000000",
        "1",
        "",
        "0",
        "{}",
        "0",
        LIFE,
    ];
    old(stage, &step).await
}

#[tokio::test]
async fn members_of_both_versions_know_each_other_and_speak() {
    let stage = Stage::redis(Publishing::Sharded).await;
    let ana = stage.enter("ana").await;
    let bo = old_join(&stage, "bo").await;
    assert_eq!(bo[0], "joined");
    let cy = stage.join("cy").await;
    let known: Vec<_> = cy.roster.iter().map(|line| line.peer.clone()).collect();
    assert!(known.contains(&id("ana")) && known.contains(&id("bo")), "{known:?}");
    let (peer, data) = (id("bo"), "[1]");
    let said =
        old(&stage, &["signal", peer.as_str(), &bo[1], "1", id("ana").as_str(), "~", data]).await;
    assert_eq!(said[0], "appended");
    assert!(matches!(stage.step(say(&ana, 1, Some("bo"))).await, Outcome::Appended(_)));
    let left = old(&stage, &["leave", peer.as_str(), &bo[1]]).await;
    assert_eq!(left[0], "appended");
    assert!(matches!(stage.step(say(&ana, 2, Some("bo"))).await, Outcome::Refused(_)));
    let last: Seq = stage.all().await.last().unwrap().last();
    assert!(last.0 > cy.seq.0);
}

#[tokio::test]
async fn what_one_version_configures_holds_for_the_other() {
    let stage = Stage::redis(Publishing::Sharded).await;
    old(&stage, &["configure", "1", "~", LIFE, REMEMBERED]).await;
    let ana = stage.enter("ana").await;
    let full = JoinRefusal::Full { capacity: 1, after: None };
    assert_eq!(stage.try_join(wish("bo")).await, full);
    stage.step(Op::Configure { capacity: Some(2), locked: None }).await;
    assert_eq!(old_join(&stage, "bo").await[0], "joined");
    assert_eq!(old_join(&stage, "cy").await[..2], ["full", "2"]);
    stage.step(Op::Configure { capacity: None, locked: Some(true) }).await;
    assert_eq!(old_join(&stage, "cy").await[0], "locked");
    old(&stage, &["configure", "3", "0", LIFE, REMEMBERED]).await;
    let room = stage.inspect().await;
    assert_eq!((room.capacity, room.locked), (Some(3), false));
    stage.step(Op::Leave { by: ana }).await;
}

#[tokio::test]
async fn a_ban_of_either_version_holds_at_the_other_and_beyond_the_end_of_the_room() {
    let stage = Stage::redis(Publishing::Sharded).await;
    stage.enter("ana").await;
    stage.enter("bo").await;
    let kicked = old(&stage, &["kick", id("ana").as_str(), "3600000000"]).await;
    assert_eq!(kicked[0], "appended");
    assert_eq!(stage.try_join(wish("ana")).await, JoinRefusal::Forbidden);
    stage.step(Op::Kick { peer: id("bo"), ban: HOUR }).await;
    assert_eq!(old_join(&stage, "bo").await[0], "forbidden");
    stage.step(Op::Maintain).await;
    let redis = stage.redis.as_ref().unwrap();
    for kind in ["h", "m", "l"] {
        redis.run::<u64>(&["DEL", &format!("{{suite}}:{kind}")]).await;
    }
    for who in ["ana", "bo"] {
        assert_eq!(stage.try_join(wish(who)).await, JoinRefusal::Forbidden, "{who}");
    }
    stage.enter("cy").await;
    assert_eq!(old_join(&stage, "ana").await[0], "forbidden");
}

/// An old node keeps a configured room's hash for a day, its members for minutes: see `losses.rs` for what follows.
#[tokio::test]
async fn a_configured_room_ends_with_its_members_once_a_node_of_this_version_has_tended_it() {
    let stage = Stage::redis(Publishing::Sharded).await;
    stage.enter("ana").await;
    old(&stage, &["configure", "2", "~", LIFE, REMEMBERED]).await;
    let redis = stage.redis.as_ref().unwrap();
    assert!(redis.run::<i64>(&["PTTL", "{suite}:h"]).await > 80_000_000);
    stage.step(Op::Maintain).await;
    assert!(redis.run::<i64>(&["PTTL", "{suite}:h"]).await <= 300_000);
    assert!(redis.run::<i64>(&["PTTL", "{suite}:f"]).await > 80_000_000);
    redis.run::<u64>(&["DEL", "{suite}:h", "{suite}:m", "{suite}:l"]).await;
    assert_eq!(stage.inspect().await.capacity, Some(2));
}
