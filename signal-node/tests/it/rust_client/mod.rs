//! The Rust client against real nodes.

#[expect(dead_code, reason = "its `main` is for the command line")]
#[path = "../../../../crates/signal-client/examples/echo_bot.rs"]
mod echo_bot;
mod failover;
mod tokens;

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use signal_client::{
    Client, JoinError, JoinOptions, LeaveReason, LeftBecause, PeerId, Room, RoomEvent, State,
};
use tokio::time::timeout;

use crate::support::node::{TestNode, token};
use crate::support::polling::becomes_true;
use crate::support::process::NodeProcess;

/// Long enough on a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something, but not for ever.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} in time"))
}

fn open(address: &str) -> Client {
    Client::builder(format!("ws://{address}")).connect().unwrap()
}

fn holder(address: &str, who: &str) -> Client {
    Client::builder(format!("ws://{address}")).fixed_token(token(who)).connect().unwrap()
}

async fn join(client: &Client, room: &str) -> Room {
    within("a join", client.join(room, JoinOptions::default())).await.unwrap()
}

/// Takes events until `wanted` finds something in one.
async fn until<T>(room: &mut Room, wanted: impl Fn(&RoomEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = room.next().await.expect("the membership goes on");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    within("an event", found).await
}

fn own_id(event: &RoomEvent) -> Option<PeerId> {
    match event {
        RoomEvent::Joined { me, .. } => Some(me.id.clone()),
        _ => None,
    }
}

fn newcomer(event: &RoomEvent) -> Option<PeerId> {
    match event {
        RoomEvent::PeerJoined { member, .. } => Some(member.id.clone()),
        _ => None,
    }
}

fn data(event: &RoomEvent) -> Option<Value> {
    match event {
        RoomEvent::Signal { data, .. } => Some(data.parse().unwrap()),
        _ => None,
    }
}

fn departed(event: &RoomEvent) -> Option<LeaveReason> {
    match event {
        RoomEvent::PeerLeft { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[tokio::test]
async fn two_clients_meet_signal_and_leave() {
    let node = NodeProcess::start(&[("SIGNAL_NODE_ANONYMOUS", "always")]).await;
    let (one, other) = (open(node.address()), open(node.address()));
    let mut ana = join(&one, "demo").await;
    let meta = JoinOptions::default().meta(&json!({"name": "Bo"}));
    let mut bo = within("a join", other.join("demo", meta)).await.unwrap();
    let peer = until(&mut ana, newcomer).await;
    assert_eq!(peer, until(&mut bo, own_id).await);
    let known = ana.members().get(&peer).unwrap();
    assert_eq!(known.meta.parse::<Value>().unwrap(), json!({"name": "Bo"}));
    within("an ack", ana.signal(&peer, &json!({"offer": 1}))).await.unwrap();
    assert_eq!(until(&mut bo, data).await, json!({"offer": 1}));
    within("an ack", bo.update(&json!({"name": "Bob"}))).await.unwrap();
    let renamed = |event: &RoomEvent| matches!(event, RoomEvent::PeerUpdated { .. }).then_some(());
    until(&mut ana, renamed).await;
    assert_eq!(ana.members().get(&peer).unwrap().meta.get(), r#"{"name":"Bob"}"#);
    bo.volatile(None, "cursor").unwrap();
    until(&mut ana, |event| matches!(event, RoomEvent::Volatile { .. }).then_some(())).await;
    within("a confirmation", bo.leave()).await;
    assert_eq!(until(&mut ana, departed).await, LeaveReason::Left);
    assert!(ana.members().is_empty());
    let nobody = within("a refusal", ana.signal(&peer, "gone")).await.unwrap_err();
    assert!(nobody.to_string().starts_with("peer_not_found"), "{nobody}");
}

#[tokio::test]
async fn several_rooms_share_one_socket_and_end_with_the_client() {
    let node = TestNode::start(&[("ANONYMOUS", "always")]).await;
    let client = open(node.address());
    let rooms = ["one", "two", "three"];
    let joined = join_all(rooms.map(|room| join(&client, room))).await;
    let metrics = node.metrics().await;
    assert!(metrics.contains("\nsignal_connections 1\n"), "{metrics}");
    let observer = open(node.address());
    let mut seen = join_all(rooms.map(|room| join(&observer, room))).await;
    within("the end", client.close()).await;
    for room in &mut seen {
        assert_eq!(until(room, departed).await, LeaveReason::Left);
    }
    for mut room in joined {
        let last = async {
            let mut last = None;
            while let Some(event) = room.next().await {
                last = Some(event);
            }
            last
        };
        let left = within("the last event", last).await;
        assert_eq!(left, Some(RoomEvent::Left(LeftBecause::Left)));
    }
}

#[tokio::test]
async fn a_dropped_room_and_a_dropped_join_are_left() {
    let node = TestNode::start(&[("ANONYMOUS", "always")]).await;
    let (client, observer) = (open(node.address()), open(node.address()));
    let mut seen = join(&observer, "demo").await;
    drop(join(&client, "demo").await);
    until(&mut seen, newcomer).await;
    assert_eq!(until(&mut seen, departed).await, LeaveReason::Left);
    tokio::select! {
        biased;
        _ = client.join("demo", JoinOptions::default()) => panic!("a node takes longer than that"),
        () = std::future::ready(()) => {}
    }
    let mut again = join(&client, "demo").await;
    let others = until(&mut again, |event| match event {
        RoomEvent::Joined { members, .. } => Some(members.as_ref().unwrap().len()),
        _ => None,
    });
    assert_eq!(others.await, 1, "the join that was dropped has left a member behind");
}

#[tokio::test]
async fn a_join_that_is_refused_for_good_says_why() {
    let node = TestNode::start(&[("ANONYMOUS", "always"), ("ROOM_CAPACITY", "1")]).await;
    let _first = join(&open(node.address()), "demo").await;
    let client = open(node.address());
    let refused = within("an answer", client.join("demo", JoinOptions::default())).await;
    let Err(JoinError::Ended(LeftBecause::Refused(refusal))) = refused.map(|_| ()) else {
        panic!("the room holds one")
    };
    assert_eq!(refusal.code, "room_full");
    assert!(matches!(
        client.join("no/name", JoinOptions::default()).await,
        Err(JoinError::Name(_))
    ));
    let mut once = join(&client, "other").await;
    let twice = within("an answer", client.join("other", JoinOptions::default())).await;
    assert!(matches!(twice, Err(JoinError::Ended(LeftBecause::Refused(_)))));
    until(&mut once, own_id).await;
}

/// More than the client's queue of 1024 events and all buffers of the system hold: the node closes the reader's
/// connection, and the reader comes back to what it missed.
#[tokio::test]
async fn a_reader_that_pauses_gets_everything_once_and_in_order() {
    const COUNT: u64 = 27 * BATCH;
    /// Three acknowledgements, and half of what the node holds for a socket: a reader that does not pause is not closed.
    const BATCH: u64 = 96;
    let settings = [
        ("ANONYMOUS", "always"),
        ("RATE", "10000/s,burst=20000"),
        ("SEND_RATE", "100MiB/s,burst=512KiB"),
        ("PING", "1s"),
        ("LOG_BYTES", "64MiB"),
    ];
    let node = TestNode::start(&settings).await;
    let mut reader = join(&open(node.address()), "demo").await;
    let writer = join(&open(node.address()), "demo").await;
    for number in 0..COUNT {
        let pending = writer.broadcast(&(number, "x".repeat(5_000)));
        if number % BATCH == BATCH - 1 {
            within("an ack", pending).await.unwrap();
        } else {
            drop(pending);
        }
    }
    becomes_true("a connection that is closed", PATIENCE, async || {
        let metrics = node.metrics().await;
        let mut closed = metrics.lines().filter_map(|line| {
            line.strip_prefix("signal_connections_closed_total{code=\"400")?.rsplit(' ').next()
        });
        closed.any(|count| count != "0")
    })
    .await;
    for number in 0..COUNT {
        let (found, _) = until(&mut reader, |event| match event {
            RoomEvent::Signal { data, .. } => Some(data.parse::<(u64, String)>().unwrap()),
            _ => None,
        })
        .await;
        assert_eq!(found, number);
    }
}

#[tokio::test]
async fn the_echo_bot_answers_in_a_room() {
    let node = TestNode::start(&[("ANONYMOUS", "always")]).await;
    let bot = open(node.address());
    let running = {
        let bot = bot.clone();
        tokio::spawn(async move { echo_bot::echo(&bot, "demo").await.map_err(|e| e.to_string()) })
    };
    let mut room = join(&open(node.address()), "demo").await;
    let present = until(&mut room, |event| match event {
        RoomEvent::Joined { members: Some(members), .. } => {
            Some(members.first().map(|it| it.id.clone()))
        }
        _ => None,
    });
    let peer = match present.await {
        Some(peer) => peer,
        None => until(&mut room, newcomer).await,
    };
    within("an ack", room.signal(&peer, &json!({"hello": [1, 2]}))).await.unwrap();
    assert_eq!(until(&mut room, data).await, json!({"hello": [1, 2]}));
    within("the end", bot.close()).await;
    assert_eq!(within("the bot's end", running).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_node_that_is_stopped_costs_a_second_and_not_a_timeout() {
    let settings = [("SIGNAL_NODE_ANONYMOUS", "always")];
    let (stopped, live) =
        (NodeProcess::start(&settings).await, NodeProcess::start(&settings).await);
    stopped.signal("STOP");
    let urls = [stopped.address(), live.address()].map(|address| format!("ws://{address}"));
    // Each begins at one of the two by chance.
    let clients = (0..8).map(|_| Client::builder(&urls[0]).address(&urls[1]).connect().unwrap());
    let mut nodes = HashSet::new();
    for client in clients.collect::<Vec<_>>() {
        let mut state = client.state();
        let open = state.wait_for(|state| matches!(state, State::Open { .. }));
        let state =
            timeout(Duration::from_secs(7), open).await.expect("no timeout of 8 s").unwrap();
        let State::Open { node } = &*state else { unreachable!("it was waited for") };
        nodes.insert(node.clone());
    }
    assert_eq!(nodes.len(), 1);
    stopped.signal("CONT");
}
