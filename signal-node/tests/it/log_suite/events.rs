//! The queues of events of both logs: what is stored with which change, and how endpoints read it.

use signal_node::log::{
    CallChange, CallEvent, CallStep, Claimant, DeadLetter, EndpointId, EventContent, EventQueue,
    EventStore, Letter, MissedReason, Position, Progress, Ring, RoomEvent, Taken,
};
use signal_protocol::{CallEnd, NodeId};

use super::stage::*;
use crate::support::polling::becomes_true;

const ATTENDED: Duration = Duration::from_secs(20);

fn endpoint(name: &str) -> EndpointId {
    EndpointId(name.into())
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// Takes everything of a queue for an endpoint that has nothing yet, and leaves it there.
async fn queued(store: &dyn EventStore, room: &RoomId) -> Vec<(Position, RoomEvent)> {
    let (queue, endpoint, node) =
        (EventQueue::Room(room.clone()), endpoint("reader"), node("n_reader"));
    let claimant = Claimant { queue: &queue, endpoint: &endpoint, node: &node };
    let Taken::Events { events, .. } = store.take(claimant, LEASE, 100).await.unwrap() else {
        return Vec::new();
    };
    let told = events.into_iter().map(|event| match event.content {
        EventContent::Event(told) => (event.position, told),
        other => panic!("expected an event, got {other:?}"),
    });
    told.collect()
}

async fn kinds(store: &dyn EventStore, room: &RoomId) -> Vec<String> {
    let kind = |event: &RoomEvent| match event {
        RoomEvent::RoomStarted => "started".to_owned(),
        RoomEvent::RoomEnded => "ended".to_owned(),
        RoomEvent::PeerJoined { user, .. } => format!("{} joined", user.as_ref().unwrap().as_str()),
        RoomEvent::PeerLeft { user, reason, .. } => {
            format!("{} {reason:?}", user.as_ref().unwrap().as_str())
        }
        RoomEvent::Call(call) => {
            let CallEvent { call, from, to, room, change } = &**call;
            format!("{call} {} {} {room} {change:?}", from.as_str(), to.as_str())
        }
    };
    queued(store, room).await.iter().map(|(_, event)| kind(event)).collect()
}

fn named(who: &str) -> String {
    format!("urn:\"{who}\" é")
}

pub(super) async fn each_change_of_a_room_is_queued_with_it_and_once(
    stage: Stage,
    store: Arc<dyn EventStore>,
) {
    let join = wish("ana");
    let ana = claim("ana", &joined(stage.step(Op::Join(Box::new(join.clone()))).await));
    stage.step(Op::Join(Box::new(join.clone()))).await;
    let bo = stage.enter("bo").await;
    stage.call(&[say(&ana, 1, None), Op::Detach { by: ana.clone() }]).await;
    // Back over another socket: a member that resumes has not joined.
    stage.step(Op::Join(Box::new(Join { attempt: 2, socket: SocketId::random(), ..join }))).await;
    stage.call(&[Op::Leave { by: bo.clone() }, Op::Leave { by: bo }]).await;
    stage.step(Op::Kick { peer: id("ana"), ban: Duration::ZERO }).await;
    stage.enter("cy").await;
    let expected = [
        "started".to_owned(),
        format!("{} joined", named("ana")),
        format!("{} joined", named("bo")),
        format!("{} Left", named("bo")),
        format!("{} Kicked", named("ana")),
        "ended".to_owned(),
        "started".to_owned(),
        format!("{} joined", named("cy")),
    ];
    assert_eq!(kinds(&*store, &stage.room).await, expected);
    let all = queued(&*store, &stage.room).await;
    assert!(all.is_sorted_by(|(one, _), (other, _)| one < other), "{all:?}");
}

fn ring(call: &str, timeout: Duration) -> Op {
    let [from, to] = ["ana", "bo"].map(|who| Subject::new(&named(who)).unwrap());
    let (call, room) = (call.parse().unwrap(), "meet".parse().unwrap());
    Op::Ring(Box::new(Ring { call, from, to, room, timeout, data: None }))
}

fn step(call: &str, step: CallStep) -> Op {
    Op::StepCall { call: call.parse().unwrap(), step }
}

pub(super) async fn each_change_of_a_call_is_queued_and_of_an_inbox_nothing_else(
    mut stage: Stage,
    store: Arc<dyn EventStore>,
) {
    stage.room = RoomId::inbox(&Subject::new(&named("bo")).unwrap());
    stage.step(ring("early", MINUTE)).await;
    stage.enter("phone").await;
    let (phone, ana) = (id("phone"), Subject::new(&named("ana")).unwrap());
    stage.call(&[step("early", CallStep::Accept(phone.clone())), ring("early", MINUTE)]).await;
    let over = CallEnd::Cancelled;
    stage.step(step("early", CallStep::Cancel(ana.clone(), over))).await;
    let declined = step("no", CallStep::Decline(phone, CallEnd::Declined));
    stage.call(&[ring("no", MINUTE), declined]).await;
    stage.call(&[ring("stop", MINUTE), step("stop", CallStep::Cancel(ana, over))]).await;
    stage.call(&[ring("late", Duration::from_millis(1))]).await;
    becomes_true("the call has rung for long enough", LEASE, async || {
        stage.step(Op::Calls).await;
        kinds(&*store, &stage.room).await.last().unwrap().contains("Timeout")
    })
    .await;
    let line = |call: &str, change: &CallChange| {
        format!("{call} {} {} meet {change:?}", named("ana"), named("bo"))
    };
    let missed = CallChange::Missed;
    let expected = [
        line("early", &CallChange::Ringing(0)),
        line("early", &missed(MissedReason::Offline)),
        line("early", &CallChange::Accepted(id("phone"))),
        line("early", &CallChange::Ended(CallEnd::HungUp)),
        line("no", &CallChange::Ringing(1)),
        line("no", &CallChange::Ended(CallEnd::Declined)),
        line("stop", &CallChange::Ringing(1)),
        line("stop", &missed(MissedReason::Cancelled)),
        line("late", &CallChange::Ringing(1)),
        line("late", &missed(MissedReason::Timeout)),
    ];
    assert_eq!(kinds(&*store, &stage.room).await, expected);
}

const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn an_event_stays_until_every_endpoint_is_past_it(
    stage: Stage,
    store: Arc<dyn EventStore>,
) {
    stage.enter("ana").await;
    let (queue, node) = (EventQueue::Room(stage.room.clone()), node("n_one"));
    let ids = [endpoint("one"), endpoint("two")];
    let claimant = |number: usize| Claimant { queue: &queue, endpoint: &ids[number], node: &node };
    let take = async |number: usize| store.take(claimant(number), LEASE, 16).await.unwrap();
    let done = async |number: usize, position, attempts, pause| {
        let progress = Progress { position, attempts, pause };
        store.finish(claimant(number), progress, &ids).await.unwrap()
    };
    let Taken::Events { attempts: 0, events } = take(0).await else { panic!("two events") };
    let [first, second] = [events[0].position, events[1].position];
    assert!(done(0, Some(first), 3, Duration::ZERO).await, "one is left");
    let Taken::Events { attempts: 3, events } = take(0).await else { panic!("one event") };
    assert_eq!(events[0].position, second);
    assert!(!done(0, Some(second), 0, Duration::ZERO).await);
    assert_eq!(take(0).await, Taken::Nothing);
    let Taken::Events { events, .. } = take(1).await else { panic!("both events") };
    assert_eq!(events.len(), 2, "the other endpoint has got nothing yet");
    assert!(done(1, None, 1, MINUTE).await);
    let Taken::Later(pause) = take(1).await else { panic!("a pause") };
    assert!(pause > MINUTE / 2 && pause <= MINUTE, "{pause:?}");
    done(1, Some(second), 0, Duration::ZERO).await;
    assert!(queued(&*store, &stage.room).await.is_empty(), "all are past it");
    stage.enter("bo").await;
    let Taken::Events { events, .. } = take(0).await else { panic!("one event") };
    assert!(events.len() == 1 && events[0].position > second);
}

pub(super) async fn dead_letters_are_kept_and_replayed_to_their_endpoint(
    _: Stage,
    store: Arc<dyn EventStore>,
) {
    let dead = |id: &str| {
        let (endpoint, body) = (endpoint("one"), "{\"é\":1}".to_owned());
        let letter = Letter { endpoint, id: id.to_owned(), body };
        DeadLetter { letter, at: 1, error: "it answered 500".to_owned() }
    };
    for id in ["a", "b", "c"] {
        store.bury(&dead(id)).await.unwrap();
    }
    let all = store.dead_letters(Position::default(), 100).await.unwrap();
    assert_eq!(
        all.iter().map(|(_, dead)| dead.letter.id.as_str()).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    assert_eq!(store.dead_letters(all[0].0, 1).await.unwrap(), all[1..2]);
    assert!(store.replay(all[1].0).await.unwrap());
    assert!(!store.replay(all[1].0).await.unwrap(), "it is none any more");
    let (endpoint, node) = (endpoint("one"), node("n_one"));
    let claimant = Claimant { queue: &EventQueue::Replays, endpoint: &endpoint, node: &node };
    let Taken::Events { events, .. } = store.take(claimant, LEASE, 16).await.unwrap() else {
        panic!("one letter");
    };
    let [event] = &events[..] else { panic!("one letter, got {events:?}") };
    assert_eq!(event.content, EventContent::Replay(Box::new(dead("b").letter)));
}

pub(super) async fn a_queue_that_nobody_attends_to_is_taken_over_once(
    stage: Stage,
    store: Arc<dyn EventStore>,
) {
    let feed = stage.one.open(&stage.room).await.unwrap();
    let queue = EventQueue::Room(stage.room.clone());
    assert_eq!(store.take_over(9, ATTENDED).await.unwrap().1, [], "its node attends to it");
    let inbox = EventQueue::Room(RoomId::inbox(&Subject::new("bo").unwrap()));
    let names = [queue.clone(), inbox.clone(), EventQueue::Replays];
    store.attend(&names, Duration::ZERO).await.unwrap();
    let is_due = async || store.take_over(9, Duration::ZERO).await.unwrap().1.len() == 3;
    becomes_true("all are left alone", LEASE, is_due).await;
    let until = store.attend(&names, Duration::ZERO).await.unwrap();
    store.attend(&names[..1], MINUTE).await.unwrap();
    for name in &names {
        store.forget_queue(name, until).await.unwrap();
    }
    assert_eq!(store.take_over(9, ATTENDED).await.unwrap().1, [], "two are forgotten");
    store.attend(&names[..1], Duration::ZERO).await.unwrap();
    becomes_true("the other one is known", LEASE, async || {
        store.take_over(9, ATTENDED).await.unwrap().1 == names[..1]
    })
    .await;
    assert_eq!(store.take_over(9, ATTENDED).await.unwrap().1, []);
    drop(feed);
}

/// Only Redis has several nodes.
#[tokio::test]
async fn of_two_nodes_one_sends_until_its_lease_is_over_or_given_back() {
    let (stage, store) = Stage::redis_with_events().await;
    stage.enter("ana").await;
    let (queue, endpoint) = (EventQueue::Room(stage.room.clone()), endpoint("one"));
    let nodes = [node("n_one"), node("n_two")];
    let claimant =
        |number: usize| Claimant { queue: &queue, endpoint: &endpoint, node: &nodes[number] };
    let (short, ids) = (Duration::from_millis(300), [endpoint.clone()]);
    assert!(matches!(store.take(claimant(0), short, 9).await, Ok(Taken::Events { .. })));
    assert!(matches!(store.take(claimant(1), LEASE, 9).await, Ok(Taken::Later(_))));
    becomes_true("the lease is over", LEASE, async || {
        matches!(store.take(claimant(1), LEASE, 9).await, Ok(Taken::Events { .. }))
    })
    .await;
    // The first one is late: what it delivered counts, and the lease of the second one stays.
    let late = Progress { position: None, attempts: 7, pause: MINUTE };
    store.finish(claimant(0), late, &ids).await.unwrap();
    assert!(
        matches!(store.take(claimant(0), LEASE, 9).await, Ok(Taken::Later(left)) if left <= LEASE)
    );
    store
        .finish(claimant(1), Progress { attempts: 0, pause: Duration::ZERO, ..late }, &ids)
        .await
        .unwrap();
    let Ok(Taken::Events { attempts: 0, events }) = store.take(claimant(0), LEASE, 9).await else {
        panic!("it was given back");
    };
    let last = events.last().map(|event| event.position);
    let done = Progress { position: last, attempts: 0, pause: Duration::ZERO };
    store.finish(claimant(0), done, &ids).await.unwrap();
    let redis = stage.redis.as_ref().unwrap();
    let kept: (u64, u64, i64) = (
        redis.run(&["XLEN", "{suite}:w"]).await,
        redis.run(&["EXISTS", "{suite}:d"]).await,
        redis.run(&["PTTL", "{suite}:w"]).await,
    );
    assert!(kept.0 == 0 && kept.1 == 0 && (1..=300_000).contains(&kept.2), "{kept:?}");
}

#[tokio::test]
async fn nothing_is_stored_where_no_endpoint_is_configured() {
    let stage = Stage::redis(Publishing::Sharded).await;
    let ana = stage.enter("ana").await;
    stage.step(Op::Leave { by: ana }).await;
    let keys: Vec<String> = stage.redis.as_ref().unwrap().run(&["KEYS", "*"]).await;
    let is_of_events = |key: &String| key.ends_with(":w") || key.contains("webhooks");
    assert!(!keys.iter().any(is_of_events), "{keys:?}");
}
