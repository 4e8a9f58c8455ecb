//! Bounds: of rooms, rates, connections and patience.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::support::node::{SECRET, TestNode, token};
use crate::support::peer::{TestPeer, key, knock, knock_from, refused, request};
use crate::support::polling::becomes_true;
use crate::support::process::NodeProcess;

#[tokio::test]
async fn a_full_room_says_so() {
    let node = TestNode::start(&[("ROOM_CAPACITY", "1")]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    let mut bo = TestPeer::anonymous(&node).await;
    bo.try_join("demo", "bo").await;
    let error = bo.expect_error("room_full").await;
    assert_eq!((&error["id"], error.get("after")), (&json!(1), None));
    drop(ana);
    loop {
        bo.try_join("demo", "bo").await;
        let error = bo.expect_error("room_full").await;
        if error.get("after").is_some() {
            break;
        }
    }
}

#[tokio::test]
async fn rooms_per_connection_and_members_per_subject_are_bounded() {
    let settings =
        [("JWT_SECRET", SECRET), ("ROOMS_PER_CONNECTION", "2"), ("MEMBERS_PER_SUB", "1")];
    let node = TestNode::start(&settings).await;
    let mut ana = TestPeer::holder(&node, "ana").await;
    ana.join("one", "a1").await;
    ana.join("two", "a2").await;
    ana.try_join("three", "a3").await;
    ana.expect_error("limit_exceeded").await;
    let mut again = TestPeer::holder(&node, "ana").await;
    again.try_join("one", "a4").await;
    again.expect_error("limit_exceeded").await;
}

#[tokio::test]
async fn rooms_of_a_subject_are_bounded_over_all_its_connections() {
    let node = TestNode::start(&[("JWT_SECRET", SECRET), ("ROOMS_PER_CLIENT", "2")]).await;
    let mut ana = TestPeer::holder(&node, "ana").await;
    let mut other = TestPeer::holder(&node, "ana").await;
    ana.join("one", "a1").await;
    other.join("two", "a2").await;
    other.try_join("three", "a3").await;
    assert_eq!(other.expect_error("limit_exceeded").await.get("after"), None);
    other.say(json!({"type": "leave", "id": 2, "room": "two"})).await;
    other.expect("ok").await;
    other.try_join("three", "a3").await;
    let error = other.expect_error("limit_exceeded").await;
    assert!(error["after"].as_u64().unwrap() > 60_000, "the room that was left counts: {error}");
    other.join("two", "a4").await;
    other.join("one", "a5").await;
    TestPeer::holder(&node, "bo").await.join("three", "b1").await;
}

#[tokio::test]
async fn rooms_of_anonymous_connections_are_bounded_by_address() {
    let node = TestNode::start(&[("ROOMS_PER_CLIENT", "1")]).await;
    TestPeer::anonymous(&node).await.join("one", "a1").await;
    let mut again = TestPeer::anonymous(&node).await;
    again.try_join("two", "a2").await;
    again.expect_error("limit_exceeded").await;
    let mut elsewhere = knock_from("127.0.0.9".parse().unwrap(), request(&node)).await.unwrap().0;
    elsewhere.say(node.hello()).await;
    elsewhere.expect("welcome").await;
    elsewhere.join("two", "b1").await;
}

#[tokio::test]
async fn what_a_member_says_to_nobody_is_bounded_since_the_log_keeps_it() {
    let node = TestNode::start(&[("SEND_RATE", "1000/s,burst=2000")]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    for mid in 1..=2 {
        let data = "x".repeat(1_500);
        ana.say(json!({"type": "signal", "mid": mid, "room": "demo", "data": data})).await;
    }
    assert_eq!(ana.expect_error("rate_limited").await["mid"], 2);
}

#[tokio::test]
async fn too_many_messages_are_refused_with_a_time_to_wait() {
    let node = TestNode::start(&[("RATE", "1/s,burst=3")]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    for _ in 0..2 {
        ana.expect_nothing().await;
    }
    ana.say(json!({"type": "leave", "id": 3, "room": "demo"})).await;
    let error = ana.expect_error("rate_limited").await;
    assert_eq!((&error["id"], &error["retry"]), (&json!(3), &json!(true)));
    assert!(error["after"].as_u64().unwrap() <= 1_000);
}

#[tokio::test]
async fn what_is_said_to_all_is_bounded_by_what_it_becomes() {
    let node = TestNode::start(&[("FANOUT", "20KiB/s,burst=50KiB")]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut others = [TestPeer::anonymous(&node).await, TestPeer::anonymous(&node).await];
    ana.join("demo", "ana").await;
    for (peer, who) in others.iter_mut().zip(["bo", "cy"]) {
        peer.join("demo", who).await;
        ana.expect("peer_joined").await;
    }
    // Twice 8,000 bytes fit, and so do 30,000 that go to one; twice 8,000 more do not.
    let all =
        |mid: u64| json!({"type": "signal", "mid": mid, "room": "demo", "data": "x".repeat(8_000)});
    ana.say(all(1)).await;
    ana.signal(2, &others[0].id, "x".repeat(30_000)).await;
    ana.say(all(3)).await;
    let error = ana.until("error").await;
    assert_eq!((&error["code"], &error["mid"]), (&json!("rate_limited"), &json!(3)));
    let wait = error["after"].as_u64().unwrap();
    assert!((1..=1_000).contains(&wait), "{wait}");
    // What is volatile is dropped, and said so.
    ana.say(json!({"type": "signal", "volatile": true, "room": "demo", "data": "y".repeat(8_000)}))
        .await;
    ana.expect_error("rate_limited").await;
    tokio::time::sleep(Duration::from_millis(wait)).await;
    ana.say(all(3)).await;
    for peer in &mut others {
        let mut heard = 0;
        while heard < 2 {
            heard +=
                usize::from(peer.until("signal").await["data"].as_str().unwrap().len() == 8_000);
        }
    }
    assert!(node.metrics().await.contains("signal_fanout_refusals_total 2"));
}

#[tokio::test]
async fn what_one_member_is_sent_is_bounded_and_its_socket_stays() {
    let node =
        TestNode::start(&[("JWT_SECRET", SECRET), ("SEND_RATE", "40KiB/s,burst=40KiB")]).await;
    let mut ana = TestPeer::holder(&node, "ana").await;
    let mut bo = TestPeer::holder(&node, "bo").await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    let volatile = |to: &str| json!({"type": "signal", "volatile": true, "room": "demo", "to": to, "data": "x".repeat(30_000)});
    ana.signal(1, &bo.id, "x".repeat(30_000)).await;
    ana.signal(2, &bo.id, "x".repeat(30_000)).await;
    let error = ana.until("error").await;
    assert_eq!((&error["code"], &error["mid"]), (&json!("rate_limited"), &json!(2)));
    ana.say(volatile(&bo.id)).await;
    let error = ana.until("error").await;
    assert_eq!((&error["code"], error.get("mid")), (&json!("rate_limited"), None));
    bo.until("signal").await;
    // Neither another connection nor another membership of the subject has a budget of its own.
    let mut second = TestPeer::holder(&node, "ana").await;
    second.join("other", "second").await;
    let mut cy = TestPeer::holder(&node, "cy").await;
    cy.join("other", "cy").await;
    second.say(json!({"type": "signal", "mid": 1, "room": "other", "to": cy.id, "data": "x".repeat(30_000)})).await;
    assert_eq!(second.until("error").await["code"], "rate_limited");
    bo.expect_nothing().await;
}

#[tokio::test]
async fn a_new_anonymous_connection_goes_on_with_what_the_last_one_has_left() {
    let node = TestNode::start(&[("FANOUT", "1KiB/s,burst=40KiB")]).await;
    let mut bo = TestPeer::anonymous(&node).await;
    bo.join("demo", "bo").await;
    let mut ana = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    ana.signal(1, &bo.id, "x".repeat(30_000)).await;
    bo.until("signal").await;
    ana.say(json!({"type": "leave", "id": 2, "room": "demo"})).await;
    ana.until("ok").await;
    drop(ana);
    let is_gone = async || node.metrics().await.contains("signal_connections 1\n");
    becomes_true("one connection is left", Duration::from_secs(10), is_gone).await;
    let mut again = TestPeer::anonymous(&node).await;
    again.join("demo", "dora").await;
    again.signal(1, &bo.id, "x".repeat(30_000)).await;
    assert_eq!(again.until("error").await["code"], "rate_limited");
    let mut beside = TestPeer::anonymous(&node).await;
    beside.join("demo", "cy").await;
    beside.signal(1, &bo.id, "x".repeat(30_000)).await;
    bo.until("signal").await;
}

#[tokio::test]
async fn joins_and_rosters_are_charged_and_a_leave_renews_nothing() {
    let node = TestNode::start(&[("JWT_SECRET", SECRET), ("FANOUT", "4KiB/s,burst=40KiB")]).await;
    let meta = json!({"text": "m".repeat(4_000)});
    let join = |who: &str, attempt: u64| json!({"type": "join", "id": 1, "room": "demo", "key": key(who), "try": attempt, "meta": meta});
    let mut others = Vec::new();
    for who in ["bo", "cy", "di"] {
        let mut peer = TestPeer::holder(&node, who).await;
        peer.say(join(who, 1)).await;
        peer.until("joined").await;
        others.push(peer.attended());
    }
    let mut ana = TestPeer::holder(&node, "ana").await;
    // Each round sends 12 KB to the others and 12 KB of roster to itself.
    for round in 1.. {
        ana.say(join("ana", round)).await;
        let answer = ana.next().await;
        if answer["type"] == "error" {
            assert_eq!((&answer["code"], &answer["id"]), (&json!("rate_limited"), &json!(1)));
            assert!(answer["after"].as_u64().unwrap() > 0, "{answer}");
            assert!((2..=3).contains(&round), "it took {round} rounds");
            break;
        }
        ana.say(json!({"type": "leave", "id": 2, "room": "demo"})).await;
        ana.until("ok").await;
    }
}

#[tokio::test]
async fn a_full_room_that_talks_as_calls_do_meets_no_bound() {
    let node = TestNode::start(&[]).await;
    let mut peers = Vec::new();
    for number in 0..20 {
        let mut peer = TestPeer::anonymous(&node).await;
        peer.join("demo", &format!("peer{number}")).await;
        peers.push(peer.attended());
    }
    let mut ana = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    // An offer to all and what a call says in its first seconds.
    for mid in 1..=50 {
        let data = "x".repeat(if mid % 10 == 1 { 6_000 } else { 300 });
        ana.say(json!({"type": "signal", "mid": mid, "room": "demo", "data": data})).await;
    }
    while ana.until("ack").await["mid"] != 50 {}
    assert!(node.metrics().await.contains("signal_fanout_refusals_total 0"));
}

#[tokio::test]
async fn too_many_connections_are_refused_with_a_time_to_wait() {
    let node = TestNode::start(&[("MAX_CONNECTIONS_PER_IP", "2")]).await;
    let _first = TestPeer::anonymous(&node).await;
    let _second = TestPeer::anonymous(&node).await;
    assert_eq!(refused(request(&node)).await, (429, "rate_limited".to_owned()));
    let node = TestNode::start(&[("MAX_CONNECTIONS", "1")]).await;
    let _only = TestPeer::anonymous(&node).await;
    assert_eq!(refused(request(&node)).await, (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn whoever_has_a_valid_token_gets_in_beside_any_number_without_one() {
    let settings = [
        ("JWT_SECRET", SECRET),
        ("UPGRADES_PER_NET", "1/h,burst=20"),
        ("UPGRADES", "1/h,burst=30"),
    ];
    let node = TestNode::start(&settings).await;
    let with_header = |header: &str| {
        let mut request = request(&node);
        request.headers_mut().insert("authorization", header.parse().unwrap());
        request
    };
    let mut refusals = Vec::new();
    for _ in 0..30 {
        refusals.push(refused(with_header("Bearer x")).await.0);
    }
    assert_eq!(refusals[..20], [401; 20]);
    assert_eq!(refusals[20..], [429; 10], "no more tokens of this address are verified");
    assert_eq!(refused(request(&node)).await.0, 429, "nor does its network come without one");
    // Nothing of what all share was spent. A valid token passes from another address of the same network.
    for _ in 0..30 {
        let header = format!("Bearer {}", token("ana"));
        let from = "127.0.0.9".parse().unwrap();
        let mut ana = knock_from(from, with_header(&header)).await.unwrap().0;
        ana.expect("welcome").await;
    }
    assert!(node.metrics().await.contains(r#"signal_upgrade_rejected_total{reason="rate"} 0"#));
}

#[tokio::test]
async fn clients_beyond_the_rate_are_told_when_to_come_back() {
    let node = TestNode::start(&[("UPGRADES", "1/s,burst=2")]).await;
    let _first = TestPeer::anonymous(&node).await;
    let _second = TestPeer::anonymous(&node).await;
    let Err(Error::Http(response)) = knock(request(&node)).await.map(|_| ()) else {
        panic!("a third one was let in")
    };
    let after: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(response.status().as_u16(), 503);
    assert!((1..=3).contains(&after), "spread, so that not all come back together: {after}");
    assert!(node.metrics().await.contains(r#"signal_upgrade_rejected_total{reason="rate"} 1"#));
}

#[tokio::test]
async fn a_flood_that_says_nothing_leaves_descriptors_to_those_who_are_in() {
    let settings = [("SIGNAL_NODE_JWT_SECRET", SECRET), ("SIGNAL_NODE_MAX_CONNECTIONS", "1000")];
    let node = NodeProcess::with_descriptors(64, &settings).await;
    let mut member = TestPeer::at(node.address(), &token("ana")).await;
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(TcpStream::connect(node.address()).await.unwrap());
    }
    // Half of them are served until they have been silent for too long; the others wait in the backlog.
    member.say(json!({"type": "ping"})).await;
    member.expect("pong").await;
    let open = node.descriptors().await;
    assert!(open < 60, "{open} are open");
    drop(flood);
    TestPeer::at(node.address(), &token("bo")).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_its_room_goes_on() {
    let node = TestNode::start(&[("RATE", "100000/s")]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut slow = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    slow.join("demo", "slow").await;
    bo.join("demo", "bo").await;
    let data = "x".repeat(60_000);
    // Half of the bound at a time, so that only who does not read can pass it.
    let (mut mid, mut slow_is_away) = (0, false);
    while !slow_is_away {
        for _ in 0..8 {
            mid += 1;
            ana.say(json!({"type": "signal", "mid": mid, "room": "demo", "data": data})).await;
        }
        slow_is_away = hears_of_away(&mut bo, 8).await;
        while ana.next().await["type"] != "ack" {}
    }
    assert!(node.metrics().await.contains(r#"signal_connections_closed_total{code="4002"} 1"#));
}

/// Whether anyone went away while so many signals were heard.
async fn hears_of_away(peer: &mut TestPeer, signals: usize) -> bool {
    let (mut heard, mut away) = (0, false);
    while heard < signals {
        let frame = peer.next().await;
        heard += usize::from(frame["type"] == "signal");
        away |= frame["peer"]["away"] == true;
    }
    away
}

#[tokio::test]
async fn a_flood_of_pings_is_closed_as_a_flood_of_messages_is() {
    let node = TestNode::start(&[("RATE", "10/s,burst=20")]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut code = None;
    while code.is_none() {
        for _ in 0..100 {
            ana.send(Message::Ping("x".into())).await;
        }
        code = ana.closed_within(Duration::from_millis(100)).await;
    }
    assert_eq!(code, Some(4004));
}

#[tokio::test]
async fn a_cookie_opens_nothing() {
    let node = TestNode::closed().await;
    let mut request = request(&node);
    request.headers_mut().insert("cookie", format!("token={}", token("ana")).parse().unwrap());
    let mut peer = knock(request).await.unwrap().0;
    peer.say(json!({"type": "join", "id": 1, "room": "demo", "key": "A".repeat(22), "try": 1}))
        .await;
    peer.expect_error("unauthorized").await;
}

#[tokio::test]
async fn a_stopping_node_closes_its_connections_so_that_they_come_back() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    node.life.soft.cancel();
    assert_eq!(ana.closed().await, 4000);
    node.life.finished().await;
}
