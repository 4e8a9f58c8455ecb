//! Sockets: opened, replaced, given up.

use std::time::Duration;

use serde_json::json;

use super::{ANA, Bench};
use crate::core::*;

#[test]
fn goaway_opens_the_next_link_beside_the_current_one_and_nothing_comes_twice() {
    let mut bench = Bench::joined();
    bench.hear(1, &json!({"type": "goaway", "reason": "drain", "after": 800, "within": 5000}));
    assert_eq!(bench.until_opened(), Duration::from_millis(800));
    bench.say(1);
    bench.tell(1, 11);
    bench.welcome(2);
    assert!(bench.closed.is_empty());
    bench.tell(2, 11);
    bench.tell(2, 12);
    bench.tell(1, 12);
    bench.hear(1, &json!({"type": "left", "room": "demo", "reason": "replaced"}));
    bench.enter(2, 13, "replay", 0);
    assert_eq!(bench.closed, [(1, 1000)]);
    assert_eq!(bench.delivered(), [11, 12]);
    assert_eq!((bench.mids(1), bench.mids(2)), (vec![1], vec![1]));
    assert!(!bench.events.contains(&RoomEvent::Away));
    assert!(matches!(bench.states.last(), Some(State::Open { node }) if node == "n_2"));
}

#[test]
fn a_link_is_promoted_once_every_room_has_arrived_on_it() {
    let mut bench = Bench::joined();
    bench.join(MemberId(2), "other");
    bench.enter_room("other", 1, &json!({"seq": 5, "recovery": "new", "mid": 0}));
    bench.hear(1, &json!({"type": "goaway", "reason": "drain", "after": 0, "within": 5000}));
    bench.until_opened();
    bench.welcome(2);
    bench.enter(2, 11, "replay", 0);
    assert!(bench.closed.is_empty());
    bench.enter_room("other", 2, &json!({"seq": 6, "recovery": "replay", "mid": 0}));
    assert_eq!(bench.closed, [(1, 1000)]);
}

#[test]
fn a_next_link_on_which_a_room_does_not_arrive_is_given_up_and_tried_again() {
    let mut bench = Bench::joined();
    bench.hear(1, &json!({"type": "goaway", "reason": "drain", "after": 0, "within": 60000}));
    bench.until_opened();
    bench.welcome(2);
    assert!(bench.until_opened() >= Duration::from_secs(10));
    assert_eq!(bench.closed, [(2, 1000)]);
    assert_eq!(bench.opened, [1, 2, 3]);
    assert!(!bench.events.contains(&RoomEvent::Away));
}

#[test]
fn a_node_without_redis_is_left_after_5_to_15_seconds_however_often_it_says_so() {
    let mut bench = Bench::joined();
    let begun = bench.now;
    while bench.opened.len() < 2 && bench.now < begun + Duration::from_secs(30) {
        bench.refuse(1, &json!({"code": "unavailable"}));
        bench.now += Duration::from_secs(1);
        bench.on(Input::Tick);
    }
    assert!((5..=16).contains(&(bench.now - begun).as_secs()), "{:?}", bench.now - begun);
    // The other node is no better: its link is closed, the current one is kept.
    bench.welcome(2);
    let id = bench.sent_of("join").last().unwrap().1["id"].clone();
    bench.refuse(2, &json!({"id": id, "code": "unavailable"}));
    assert_eq!(bench.closed, [(2, 1000)]);
    bench.tell(1, 11);
    assert_eq!(bench.delivered(), [11]);
}

#[test]
fn a_refused_token_is_fetched_anew_and_after_four_refusals_in_a_row_no_more() {
    let mut bench = Bench::new(TokenSource::Provider);
    assert_eq!((bench.fetches, bench.opened.len()), (1, 0));
    for refusals in 1..=4 {
        let token = Some(Token::from("t"));
        bench.on(Input::Token { token, unix_now: Duration::ZERO });
        assert_eq!(bench.opened.len(), refusals);
        bench.lose(refusals as u64, 4100);
        if refusals < 4 {
            bench.wake();
            assert_eq!(bench.fetches, refusals + 1);
        }
    }
    assert!(matches!(bench.states.last(), Some(State::Stopped(Stop::Code { code: 4100, .. }))));
    assert_eq!(bench.machine.wake_at(bench.now), None);
}

#[test]
fn a_fixed_token_that_is_refused_stops_the_client() {
    let mut bench = Bench::new(TokenSource::Fixed("t".into()));
    bench.join(ANA, "demo");
    bench.lose(1, 4101);
    assert!(matches!(bench.events[..], [RoomEvent::Left(LeftBecause::Stopped(_))]));
    bench.join(MemberId(2), "demo");
    assert_eq!(bench.events.len(), 2, "a join after the end ends too");
}

#[test]
fn a_token_is_renewed_on_the_open_link_before_it_expires() {
    let mut bench = Bench::new(TokenSource::Provider);
    let token = || Some(Token::living_for("fresh", Duration::from_secs(600)));
    bench.on(Input::Token { token: token(), unix_now: Duration::ZERO });
    bench.welcome(1);
    let begun = bench.now;
    while bench.fetches < 2 {
        bench.on(Input::NotReading);
        bench.wake();
    }
    assert_eq!((bench.now - begun).as_secs(), 540);
    bench.on(Input::Token { token: token(), unix_now: Duration::ZERO });
    assert_eq!(bench.sent_of("auth")[0].1["token"], "fresh");
    assert_eq!(bench.opened, [1]);
}

#[test]
fn a_token_that_cannot_be_fetched_is_asked_for_again() {
    let mut bench = Bench::new(TokenSource::Provider);
    bench.on(Input::Token { token: None, unix_now: Duration::ZERO });
    let Some(State::Waiting { because: Loss::NoToken, .. }) = bench.states.last() else {
        panic!("{:?}", bench.states)
    };
    bench.wake();
    assert_eq!(bench.fetches, 2);
}

#[test]
fn close_codes_stop_by_their_hundreds_and_else_the_client_comes_back() {
    for code in [4200, 4204, 4299, 1002, 1009] {
        let mut bench = Bench::joined();
        bench.lose(1, code);
        assert!(matches!(bench.states.last(), Some(State::Stopped(_))), "{code}");
    }
    for code in [1000, 1001, 1006, 1011, 4000, 4099] {
        let mut bench = Bench::joined();
        bench.lose(1, code);
        assert!(matches!(bench.states.last(), Some(State::Waiting { .. })), "{code}");
    }
}

#[test]
fn the_wait_that_a_node_asks_for_comes_before_the_jitter() {
    let mut bench = Bench::new(TokenSource::Anonymous);
    let retry_after = Some(Duration::from_secs(7));
    let (link, message) = (LinkId(1), "429");
    bench.on(Input::Closed { link, code: 1006, message, retry_after });
    let wait = bench.until_opened().as_millis();
    assert!((7_000..=7_800).contains(&wait), "{wait}");
}

#[test]
fn a_link_that_our_own_newer_one_replaced_does_not_stop_the_client() {
    let mut bench = Bench::joined();
    bench.hear(1, &json!({"type": "goaway", "reason": "drain", "after": 0, "within": 5000}));
    bench.until_opened();
    bench.welcome(2);
    bench.hear(1, &json!({"type": "left", "room": "demo", "reason": "replaced"}));
    // The next link is lost before its `joined` came, and then the node ends the first one.
    bench.lose(2, 1006);
    bench.lose(1, 4202);
    assert!(matches!(bench.states.last(), Some(State::Waiting { .. })), "{:?}", bench.states);
}

#[test]
fn silence_is_broken_by_a_ping_and_then_the_link_is_given_up() {
    let mut bench = Bench::joined();
    assert_eq!(bench.wake(), Duration::from_secs(10));
    assert_eq!(bench.sent_of("ping").len(), 1);
    assert_eq!(bench.wake(), Duration::from_secs(4));
    assert_eq!(bench.closed, [(1, 4001)]);
    assert!(matches!(bench.states.last(), Some(State::Waiting { .. })));
}

#[test]
fn a_link_without_a_welcome_is_given_up() {
    let mut bench = Bench::new(TokenSource::Anonymous);
    assert_eq!(bench.wake(), Duration::from_secs(8));
    assert_eq!(bench.closed, [(1, 4001)]);
}

#[test]
fn silence_means_nothing_to_a_client_that_does_not_read() {
    let mut bench = Bench::joined();
    for _ in 0..5 {
        bench.now += Duration::from_secs(10);
        bench.on(Input::NotReading);
        bench.on(Input::Tick);
    }
    assert!(bench.closed.is_empty() && bench.sent_of("ping").is_empty());
}
