//! Signals of several rooms go to Redis in one command, and what is wrong with one room stays there.

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};

use super::stage::*;

const ROOMS: usize = 20;

async fn connect(redis: &TestRedis) -> RedisLog {
    let prefix = RedisPrefix::default();
    RedisLog::connect(&redis.access(), &prefix, Publishing::Sharded, KEEP, LEASE).await.unwrap()
}

/// Has one member join each room.
async fn everyone(log: &RedisLog) -> Vec<(RoomId, Claim)> {
    let mut members = Vec::new();
    for number in 0..ROOMS {
        let room: RoomId = format!("together-{number}").parse().unwrap();
        let outcome = log.call(&room, Seq(0), &[Op::Join(Box::new(wish("ana")))]).await;
        members.push((room, claim("ana", &joined(outcome.unwrap().remove(0)))));
    }
    members
}

async fn script_calls(redis: &TestRedis) -> u64 {
    let info: String = redis.run(&["INFO", "commandstats"]).await;
    let calls = info.split_once("cmdstat_evalsha:calls=").expect("scripts were called").1;
    calls.split(',').next().unwrap().parse().unwrap()
}

/// Has everyone say their message at once.
async fn say_all(
    log: &RedisLog,
    members: &[(RoomId, Claim)],
    mid: u64,
) -> Vec<Result<Vec<Outcome>, LogError>> {
    let said = members
        .iter()
        .map(|(room, claim)| async move { log.call(room, Seq(0), &[say(claim, mid, None)]).await });
    join_all(said).await
}

#[tokio::test]
async fn rooms_that_speak_at_once_share_a_command() {
    let redis = TestRedis::start().await;
    let log = connect(&redis).await;
    let members = everyone(&log).await;
    say_all(&log, &members, 1).await;
    let before = script_calls(&redis).await;
    for outcome in say_all(&log, &members, 2).await {
        assert!(matches!(outcome.unwrap()[..], [Outcome::Appended(_)]));
    }
    assert_eq!(script_calls(&redis).await - before, 1);
}

#[tokio::test]
async fn a_room_whose_keys_are_not_ours_harms_no_other() {
    let redis = TestRedis::start().await;
    let log = connect(&redis).await;
    let members = everyone(&log).await;
    let broken = ROOMS / 2;
    let stream = format!("{{{}}}:l", members[broken].0);
    redis.run::<()>(&["SET", &stream, "not a stream"]).await;
    for (at, outcome) in say_all(&log, &members, 1).await.into_iter().enumerate() {
        match outcome {
            Ok(outcomes) => assert!(at != broken && matches!(outcomes[..], [Outcome::Appended(_)])),
            Err(error) => {
                assert!(at == broken && matches!(error, LogError::UnexpectedReply(_)), "{error}");
            }
        }
    }
}

/// Far longer than it takes, for a busy machine.
const AGAIN_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// Rooms of one node that are subscribed again after a cut; more than fit into the client's queue at once.
const IDLE_ROOMS: usize = 120_000;

#[tokio::test]
async fn more_rooms_than_the_client_queues_are_all_heard_again_after_a_cut() {
    let redis = TestRedis::start().await;
    let log = std::sync::Arc::new(connect(&redis).await);
    let open = |number: usize| {
        let log = log.clone();
        async move { log.open(&format!("r{number}").parse().unwrap()).await.unwrap() }
    };
    let mut feeds: Vec<Feed> = stream::iter(0..IDLE_ROOMS).map(open).buffered(256).collect().await;
    let began = std::time::Instant::now();
    redis.cut_subscribers().await;
    for feed in &mut feeds {
        let event = tokio::time::timeout(AGAIN_WITHIN, feed.next()).await.expect("a deaf room");
        assert!(matches!(event, Some(FeedEvent::Gap)), "{event:?}");
    }
    println!("{IDLE_ROOMS} rooms were heard again after {:?}", began.elapsed());
}
