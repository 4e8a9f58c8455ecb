//! Nodes that are killed or drained under clients.

use serde_json::json;
use signal_client::{Client, JoinOptions, Recovery, Room, RoomEvent, State};

use super::{PATIENCE, data, join, until, within};
use crate::support::node::token;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;
use crate::support::way::Way;

fn port(node: &NodeProcess) -> u16 {
    node.address().rsplit(':').next().unwrap().parse().unwrap()
}

/// A client whose way leads to another node later.
fn over(way: &Way, who: &str) -> Client {
    let url = way.url().replace("redis://", "ws://");
    Client::builder(url).fixed_token(token(who)).connect().unwrap()
}

fn recovery(event: &RoomEvent) -> Option<Recovery> {
    match event {
        RoomEvent::Joined { recovery, .. } => Some(*recovery),
        _ => None,
    }
}

/// Takes events until a signal comes, and panics at one that tells of a loss.
async fn next_number(room: &mut Room) -> u64 {
    until(room, |event| {
        assert!(!matches!(event, RoomEvent::Reset { .. } | RoomEvent::Expired), "{event:?}");
        data(event).map(|data| data.as_u64().unwrap())
    })
    .await
}

#[tokio::test]
async fn a_node_that_is_killed_under_sender_and_receiver_loses_and_doubles_nothing() {
    const COUNT: u64 = 1_000;
    let redis = TestRedis::start().await;
    let mut killed = NodeProcess::over(&redis, &[]).await;
    let heir = NodeProcess::over(&redis, &[]).await;
    let way = Way::to(port(&killed)).await;
    let (sender, receiver) = (over(&way, "ana"), over(&way, "bo"));
    let writer = join(&sender, "demo").await;
    let mut reader = join(&receiver, "demo").await;
    assert_eq!(until(&mut reader, recovery).await, Recovery::New);
    let pending: Vec<_> = (0..COUNT).map(|number| writer.broadcast(&number)).collect();
    for number in 0..100 {
        assert_eq!(next_number(&mut reader).await, number);
    }
    way.lead_to(port(&heir));
    killed.signal("KILL");
    assert_eq!(killed.ended().await, None);
    for number in 100..COUNT {
        assert_eq!(next_number(&mut reader).await, number);
    }
    for pending in pending {
        within("an ack", pending).await.unwrap();
    }
    within("an ack", writer.broadcast(&json!(COUNT))).await.unwrap();
    assert_eq!(next_number(&mut reader).await, COUNT);
}

#[tokio::test]
async fn a_node_that_drains_is_left_without_anybody_noticing() {
    let redis = TestRedis::start().await;
    let drained = NodeProcess::over(&redis, &[]).await;
    let heir = NodeProcess::over(&redis, &[]).await;
    let way = Way::to(port(&drained)).await;
    let (mover, observer) = (over(&way, "ana"), super::holder(heir.address(), "bo"));
    let mut moving = join(&mover, "demo").await;
    let mut seen = join(&observer, "demo").await;
    let mut state = mover.state();
    let first = state.borrow_and_update().clone();
    assert!(matches!(first, State::Open { .. }), "{first:?}");
    way.lead_to(port(&heir));
    let ended = tokio::spawn(drained.terminate());
    let elsewhere = state.wait_for(|state| matches!(state, State::Open { .. }) && *state != first);
    within("another node", elsewhere).await.unwrap();
    within("an ack", moving.broadcast(&1)).await.unwrap();
    let unnoticed = |event: &RoomEvent| {
        let noticed = matches!(
            event,
            RoomEvent::PeerLeft { .. } | RoomEvent::PeerUpdated { away: Some(true), .. }
        );
        assert!(!noticed, "{event:?}");
        data(event)
    };
    assert_eq!(until(&mut seen, unnoticed).await, json!(1));
    let came_back = |event: &RoomEvent| {
        assert_ne!(*event, RoomEvent::Away);
        recovery(event).filter(|recovery| *recovery != Recovery::New)
    };
    assert_eq!(until(&mut moving, came_back).await, Recovery::Replay);
    let status = tokio::time::timeout(PATIENCE, ended).await.expect("the drain ends").unwrap();
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn a_join_during_an_outage_waits_or_fails_as_it_is_asked_to() {
    let mut redis = TestRedis::start().await;
    let node = NodeProcess::over(&redis, &[]).await;
    let client = super::holder(node.address(), "ana");
    drop(join(&client, "before").await);
    redis.kill().await;
    let options = JoinOptions::default().without_retries();
    let refused = within("an answer", client.join("demo", options)).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().starts_with("unavailable"), "{refused}");
    let patient = {
        let client = client.clone();
        tokio::spawn(async move { client.join("demo", JoinOptions::default()).await.map(|_| ()) })
    };
    redis.restart().await;
    within("a join", patient).await.unwrap().unwrap();
}
