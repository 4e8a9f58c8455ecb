//! Memberships: entered, resumed, ended, and their messages.

use std::time::Duration;

use serde_json::{Value, json};
use signal_protocol::{PeerId, Recovery};

use super::{ANA, BO, Bench, MESSAGE_LIMIT};
use crate::core::*;

#[test]
fn a_member_that_lost_its_link_comes_back_with_its_key_and_position_and_resends() {
    let mut bench = Bench::joined();
    (1..=3).for_each(|ticket| bench.say(ticket));
    bench.hear(1, &json!({"type": "ack", "room": "demo", "mid": 1, "seq": 12}));
    bench.lose(1, 1006);
    assert_eq!(bench.events.last(), Some(&RoomEvent::Away));
    assert!(bench.until_opened() <= Duration::from_millis(800));
    bench.welcome(2);
    let joins = bench.sent_of("join");
    assert_eq!((&joins[0].1["try"], &joins[0].1["seq"]), (&json!(1), &Value::Null));
    assert_eq!((&joins[1].1["try"], &joins[1].1["seq"]), (&json!(2), &json!(12)));
    assert_eq!((joins[0].1.get("mid"), &joins[1].1["mid"]), (None, &json!(1)));
    assert_eq!(joins[0].1["key"], joins[1].1["key"]);
    assert_eq!(bench.mids(2), [0; 0], "nothing is sent before `joined`");
    bench.tell(2, 13);
    bench.enter(2, 14, "replay", 2);
    assert_eq!(bench.mids(2), [3]);
    assert_eq!(bench.settled, [(1, Ok(())), (2, Ok(()))]);
    assert_eq!(bench.delivered(), [13]);
}

#[test]
fn a_membership_that_another_client_took_is_over() {
    let mut bench = Bench::joined();
    bench.hear(1, &json!({"type": "left", "room": "demo", "reason": "replaced"}));
    assert_eq!(bench.events.last(), Some(&RoomEvent::Left(LeftBecause::Replaced)));
}

#[test]
fn an_expired_member_joins_anew_as_somebody_else() {
    let mut bench = Bench::joined();
    bench.say(1);
    bench.hear(1, &json!({"type": "left", "room": "demo", "reason": "expired"}));
    let joins = bench.sent_of("join");
    assert_ne!(joins[0].1["key"], joins[1].1["key"]);
    assert_eq!((&joins[1].1["try"], joins[1].1.get("seq")), (&json!(1), None));
    assert_eq!(bench.settled, [(1, Err(SendError::Ended))]);
    assert_eq!(bench.events.last(), Some(&RoomEvent::Expired));
    bench.enter(1, 20, "new", 0);
    bench.say(2);
    assert_eq!(bench.mids(1), [1, 1]);
}

/// A node told the old link so while the next one was asked. Two joins with two keys were under way then, and the answer to the
/// first was taken for one to the second.
#[test]
fn a_member_that_expired_while_it_moved_is_what_its_newest_join_is_answered() {
    let mut bench = Bench::joined();
    bench.hear(1, &json!({"type": "goaway", "reason": "drain", "after": 0, "within": 5_000}));
    bench.until_opened();
    bench.welcome(2);
    bench.hear(1, &json!({"type": "left", "room": "demo", "reason": "expired"}));
    assert_eq!(bench.sent_of("join").len(), 2);
    bench.enter(2, 20, "new", 0);
    assert!(matches!(bench.events.last(), Some(RoomEvent::Joined { .. })), "{:?}", bench.events);
    bench.say(1);
    assert_eq!(bench.mids(2), [1]);
}

#[test]
fn a_joined_that_answers_an_earlier_join_is_not_heeded() {
    let mut bench = Bench::joined();
    let before = bench.events.len();
    bench.lose(1, 1006);
    bench.until_opened();
    bench.welcome(2);
    bench.enter_room("demo", 2, &json!({"id": 1, "seq": 20, "recovery": "new", "mid": 0}));
    assert_eq!(bench.events[before..], [RoomEvent::Away]);
    bench.enter(2, 21, "replay", 0);
    assert_eq!(bench.events.len(), before + 2);
}

/// The log had lost the join, and the old link told of the reset and of what followed.
#[test]
fn a_replay_that_begins_before_what_another_link_has_told_takes_nobody_back() {
    let mut bench = Bench::joined();
    bench.hear(1, &json!({"type": "goaway", "reason": "drain", "after": 0, "within": 5_000}));
    bench.until_opened();
    bench.welcome(2);
    bench.tell(1, 30);
    bench.enter(2, 20, "replay", 0);
    bench.tell(2, 30);
    bench.tell(2, 31);
    assert_eq!(bench.delivered(), [30, 31]);
}

#[test]
fn a_refusal_whose_error_was_lost_with_its_link_is_told_by_joined() {
    let mut bench = Bench::joined();
    (1..=2).for_each(|ticket| bench.say(ticket));
    bench.lose(1, 1006);
    bench.until_opened();
    bench.welcome(2);
    let refused = json!([{"mid": 1, "code": "peer_not_found", "message": "nobody"}]);
    let rest = json!({"seq": 12, "recovery": "replay", "mid": 2, "refused": refused});
    bench.enter_room("demo", 2, &rest);
    let (code, message) = ("peer_not_found".to_owned(), "nobody".to_owned());
    let refusal = Refusal { code, message, after: None };
    assert_eq!(bench.settled, [(1, Err(refusal.into())), (2, Ok(()))]);
}

/// Found by the simulation: its join was pending when the client moved to another node, which died.
#[test]
fn a_link_that_says_twice_that_the_member_is_on_it_and_was_not_waited_for_is_replaced() {
    let mut bench = Bench::joined();
    bench.lose(1, 1006);
    bench.until_opened();
    bench.welcome(2);
    for _ in 0..2 {
        assert!(bench.closed.is_empty());
        let id = bench.sent_of("join").last().unwrap().1["id"].clone();
        bench.refuse(2, &json!({"id": id, "code": "already_joined", "retry": false}));
        bench.wake();
    }
    assert_eq!(bench.closed, [(2, 1000)]);
    bench.until_opened();
    bench.welcome(3);
    bench.enter(3, 20, "replay", 0);
    assert!(!bench.events.iter().any(|event| matches!(event, RoomEvent::Left(_))));
}

/// Found by the simulation: a node that had the member's join pending said `already_joined` to a newer one, and then that the
/// pending one had been replaced. The client took that for another client with its key.
#[test]
fn a_link_that_did_not_take_the_newest_join_speaks_of_an_earlier_one() {
    let mut bench = Bench::joined();
    bench.lose(1, 1006);
    bench.until_opened();
    bench.welcome(2);
    let id = bench.sent_of("join").last().unwrap().1["id"].clone();
    bench.refuse(2, &json!({"id": id, "code": "already_joined", "retry": false}));
    bench.hear(2, &json!({"type": "left", "room": "demo", "reason": "replaced"}));
    assert!(!bench.events.iter().any(|event| matches!(event, RoomEvent::Left(_))));
    bench.wake();
    bench.enter(2, 20, "replay", 0);
    assert!(matches!(bench.events.last(), Some(RoomEvent::Joined { .. })), "{:?}", bench.events);
}

#[test]
fn a_new_member_gives_up_what_was_not_settled() {
    let mut bench = Bench::joined();
    bench.say(1);
    bench.lose(1, 1006);
    bench.until_opened();
    bench.welcome(2);
    bench.enter(2, 50, "new", 0);
    assert_eq!(bench.settled, [(1, Err(SendError::Ended))]);
}

#[test]
fn a_join_that_fails_for_a_passing_reason_is_repeated_and_a_final_one_ends() {
    let mut bench = Bench::new(TokenSource::Anonymous);
    bench.welcome(1);
    bench.join(ANA, "demo");
    bench.refuse(1, &json!({"id": 1, "code": "unavailable"}));
    assert!(matches!(bench.events[..], [RoomEvent::Delayed(_)]));
    let wait = bench.wake();
    assert!((1_000..=3_000).contains(&wait.as_millis()), "{wait:?}");
    assert_eq!(bench.sent_of("join")[1].1["try"], 2);
    bench.refuse(1, &json!({"id": 2, "code": "room_full", "retry": false}));
    let Some(RoomEvent::Left(LeftBecause::Refused(refusal))) = bench.events.last() else {
        panic!("{:?}", bench.events)
    };
    assert_eq!(refusal.code, "room_full");
}

#[test]
fn what_comes_before_the_first_joined_belongs_to_an_earlier_membership() {
    let mut bench = Bench::new(TokenSource::Anonymous);
    bench.welcome(1);
    bench.join(ANA, "demo");
    bench.tell(1, 9);
    bench.enter(1, 10, "new", 0);
    bench.tell(1, 11);
    assert_eq!(bench.delivered(), [11]);
}

#[test]
fn a_reset_is_told_once_and_sets_the_position_backwards() {
    let mut bench = Bench::joined();
    bench.say(1);
    bench.hear(1, &json!({"type": "reset", "room": "demo", "seq": 3, "mid": 0, "peers": []}));
    bench.hear(1, &json!({"type": "reset", "room": "demo", "seq": 3, "mid": 0, "peers": []}));
    bench.tell(1, 4);
    let resets = bench.events.iter().filter(|event| matches!(event, RoomEvent::Reset { .. }));
    assert_eq!((resets.count(), bench.delivered()), (1, vec![4]));
    assert_eq!(bench.mids(1), [1, 1]);
}

#[test]
fn a_frame_that_the_node_would_close_for_is_not_sent() {
    let mut bench = Bench::joined();
    let data = || Payload::from_value(&"x".repeat(MESSAGE_LIMIT)).unwrap();
    bench.on(Input::Signal { member: ANA, ticket: Ticket(1), to: None, data: data() });
    bench.on(Input::Volatile { member: ANA, to: None, data: data() });
    assert!(matches!(bench.settled[..], [(1, Err(SendError::TooLarge { .. }))]));
    assert!(bench.sent_of("signal").is_empty());
}

#[test]
fn no_more_than_4096_messages_wait() {
    let mut bench = Bench::joined();
    (1..=4_097).for_each(|ticket| bench.say(ticket));
    assert_eq!(bench.settled, [(4_097, Err(SendError::Full(4_096)))]);
}

#[test]
fn a_room_that_was_left_while_it_was_being_joined_is_left_at_the_node_too() {
    let mut bench = Bench::new(TokenSource::Anonymous);
    bench.join(ANA, "demo");
    bench.on(Input::Leave { member: ANA, ticket: Ticket(1) });
    bench.welcome(1);
    assert!(bench.sent.is_empty());
    bench.join(ANA, "demo");
    bench.on(Input::Leave { member: ANA, ticket: Ticket(2) });
    let leave = bench.sent_of("leave");
    bench.hear(1, &json!({"type": "ok", "id": leave[0].1["id"]}));
    assert_eq!(bench.settled, [(1, Ok(())), (2, Ok(()))]);
    bench.enter(1, 10, "new", 0);
    assert_eq!(bench.sent_of("leave").len(), 2);
}

#[test]
fn the_roster_follows_the_events() {
    let mut bench = Bench::joined();
    let cy = json!({"id": "p_9Zt0cY2fL7eWbR4nQ1sVdA", "n": 8, "user": "cy", "polite": false, "meta": {}});
    bench.hear(1, &json!({"type": "peer_joined", "room": "demo", "seq": 11, "peer": cy}));
    bench.hear(1, &json!({"type": "peer_updated", "room": "demo", "seq": 12, "peer": {"id": BO, "away": true}}));
    let mut roster = Roster::default();
    bench.events.iter().for_each(|event| roster.apply(event));
    let bo: PeerId = BO.parse().unwrap();
    assert!(roster.get(&bo).unwrap().away);
    assert_eq!(roster.iter().filter_map(|it| it.user.as_deref()).collect::<Vec<_>>(), ["cy"]);
    bench.hear(
        1,
        &json!({"type": "peer_left", "room": "demo", "seq": 13, "peer": BO, "reason": "left"}),
    );
    roster.apply(bench.events.last().unwrap());
    assert_eq!(roster.len(), 1);
    assert!(matches!(bench.events[0], RoomEvent::Joined { recovery: Recovery::New, .. }));
}

/// A member at position 10 that has asked to join on link 2, and then on link 3.
fn on_its_way() -> Bench {
    let mut bench = Bench::joined();
    bench.lose(1, 1006);
    bench.until_opened();
    bench.welcome(2);
    bench.hear(2, &json!({"type": "goaway", "reason": "drain", "after": 0}));
    bench.until_opened();
    bench.welcome(3);
    bench
}

/// Found by chaos: the client was on its way to another node when the first one answered its join, and came back to the first one. What
/// that told live was taken for what followed the position: a hundred signals were missed without a word.
#[test]
fn a_link_whose_answer_was_not_waited_for_tells_nothing_before_it_is_replaced() {
    let mut bench = on_its_way();
    bench.enter(2, 20, "replay", 0);
    bench.tell(2, 21);
    bench.lose(3, 1006);
    let (link, join) = bench.sent_of("join").pop().unwrap();
    assert_eq!((link, &join["seq"]), (2, &json!(10)));
    bench.tell(2, 22);
    bench.refuse(2, &json!({"id": join["id"], "code": "already_joined", "retry": false}));
    bench.tell(2, 23);
    assert_eq!(bench.delivered(), [0; 0]);
    if bench.opened.len() < 4 {
        bench.until_opened();
    }
    bench.welcome(4);
    (11..=23).for_each(|seq| bench.tell(4, seq));
    bench.enter(4, 24, "replay", 0);
    assert_eq!(bench.delivered(), (11..=23).collect::<Vec<_>>());
}

#[test]
fn a_replay_of_which_a_part_was_not_waited_for_is_asked_for_again() {
    let mut bench = on_its_way();
    bench.tell(2, 11);
    bench.lose(3, 1006);
    bench.tell(2, 12);
    bench.enter(2, 13, "replay", 0);
    assert_eq!(bench.delivered(), [0; 0]);
    assert_eq!(bench.closed, [(2, 1000)]);
}

/// Found by chaos: the answer came seconds after the join, when the log had lost data and gone on. What followed it was told twice.
#[test]
fn a_snapshot_from_before_what_was_told_meanwhile_is_asked_for_again_once() {
    let mut bench = on_its_way();
    bench.enter(3, 5, "snapshot", 0);
    assert_eq!(bench.closed, [(3, 1000)]);
    if bench.opened.len() < 4 {
        bench.until_opened();
    }
    bench.welcome(4);
    bench.enter(4, 5, "snapshot", 0);
    bench.tell(4, 6);
    assert_eq!(bench.delivered(), [6]);
}
