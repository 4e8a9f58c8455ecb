//! Presence as a course of events in one inbox.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use signal_protocol::{LeaveReason, RoomId, Seq, Subject};

use super::harness::*;
use super::*;
use crate::log::{
    CallView, CallsView, Entry, FeedEvent, LogError, Op, Outcome, Payload, RoomView, RosterMember,
    SocketId,
};

fn bo() -> Subject {
    Subject::new("bo").unwrap()
}

fn inbox() -> ReplicaHarness {
    ReplicaHarness { replica: Replica::new(RoomId::inbox(&bo())), ..ReplicaHarness::new() }
}

fn status(state: &str) -> Payload {
    let text = format!(r#"{{"state":"{state}","since":1}}"#);
    RawValue::from_string(text).unwrap().into()
}

fn line(letter: char, n: u64, state: &str) -> RosterMember {
    let (node, meta) = ("n_two".parse().unwrap(), status(state));
    RosterMember { peer: peer(letter), node, n, joined: Seq(n), user: None, away: None, meta }
}

fn view_at(head: u64, members: Vec<RosterMember>) -> Outcome {
    Outcome::Room(Box::new(RoomView { head: Seq(head), capacity: None, locked: false, members }))
}

fn calls_at(head: u64, calls: Vec<CallView>) -> Outcome {
    Outcome::Calls(Box::new(CallsView { head: Seq(head), devices: 1, calls }))
}

fn online(letter: char, n: u64, state: &str) -> Entry {
    let mut entry = join_elsewhere(letter, n);
    let Entry::Joined { meta, .. } = &mut entry else { unreachable!() };
    *meta = Some(status(state));
    entry
}

fn left(letter: char) -> Entry {
    Entry::Left { peer: peer(letter), reason: LeaveReason::Timeout }
}

fn watch(harness: &mut ReplicaHarness) -> Arc<Outbox> {
    let outbox = Arc::new(Outbox::new(1 << 20));
    let (user, socket) = (bo(), SocketId::random());
    let command = WatchCommand { user, socket, outbox: outbox.clone() };
    harness.on(Input::Command(Command::Watch(command)));
    outbox
}

/// The states of the frames that wait in an outbox.
fn told(outbox: &Outbox) -> Vec<String> {
    let frames = std::iter::from_fn(|| outbox.pop().unwrap());
    let state = |delivery: Delivery| {
        let frame: Value = serde_json::from_slice(&delivery.frame).unwrap();
        frame["state"].as_str().or(frame["code"].as_str()).unwrap().to_owned()
    };
    frames.map(state).collect()
}

/// An inbox in which a device is online at the entry 5, and its watcher, who was told so.
fn watched() -> (ReplicaHarness, Arc<Outbox>) {
    let mut harness = inbox();
    let outbox = watch(&mut harness);
    harness.answer([view_at(5, vec![line('A', 1, "online")])]);
    assert_eq!(told(&outbox), ["online"]);
    harness.now += Duration::from_secs(1);
    (harness, outbox)
}

#[test]
fn entries_that_come_before_the_answer_are_told_after_it_and_those_in_it_are_not_told_again() {
    let mut harness = inbox();
    let outbox = watch(&mut harness);
    harness.on(Input::Event(batch(3, 4, left('A'))));
    harness.on(Input::Event(batch(4, 5, online('A', 2, "busy"))));
    harness.on(Input::Event(batch(5, 6, online('A', 2, "free"))));
    harness.answer([view_at(5, vec![line('A', 2, "busy")])]);
    harness.after(Duration::from_secs(1));
    assert_eq!(told(&outbox), ["free"]);
}

#[test]
fn what_the_answer_holds_already_is_not_applied_to_it_again() {
    let mut harness = inbox();
    harness.member('A', 1);
    harness.answer_all(&calls_at(1, vec![]));
    let outbox = watch(&mut harness);
    harness.on(Input::Event(batch(1, 2, left('B'))));
    harness.answer([view_at(3, vec![line('A', 1, "away"), line('B', 2, "busy")])]);
    assert_eq!(told(&outbox), ["busy"], "B came back with the entry 3");
}

#[test]
fn an_answer_to_an_earlier_question_is_not_taken_for_this_one() {
    let (mut harness, outbox) = watched();
    harness.on(Input::Event(FeedEvent::Gap));
    harness.on(Input::Read(vec![]));
    harness.on(Input::Event(batch(5, 6, online('A', 1, "busy"))));
    harness.on(Input::Event(FeedEvent::Gap));
    harness.on(Input::Read(vec![]));
    harness.answer([view_at(5, vec![line('A', 1, "online")])]);
    harness.answer([view_at(6, vec![line('A', 1, "busy")])]);
    harness.after(Duration::from_secs(1));
    assert_eq!(told(&outbox), ["busy"]);
}

#[test]
fn all_watchers_of_a_node_share_one_question() {
    let (mut harness, first) = watched();
    let second = watch(&mut harness);
    assert!(harness.calls.is_empty());
    assert_eq!((told(&first).len(), told(&second)), (0, vec!["online".to_owned()]));
}

#[test]
fn an_absence_is_not_told_and_the_end_of_its_grace_is_asked_for_without_a_member_here() {
    let (mut harness, outbox) = watched();
    harness.on(Input::Event(batch(5, 6, Entry::Away { peer: peer('A'), ago: Duration::ZERO })));
    harness.after(Duration::from_secs(30));
    assert!(matches!(&harness.call().ops[..], [Op::Expire { .. }]));
    assert!(told(&outbox).is_empty());
    harness.on(Input::Event(batch(6, 7, left('A'))));
    assert_eq!(told(&outbox), ["offline"]);
}

#[test]
fn devices_of_a_silent_node_are_suspected_and_others_are_not() {
    let (mut harness, _) = watched();
    harness.cluster.silent = true;
    harness.on(Input::Command(Command::Suspect));
    assert!(matches!(&harness.call().ops[..], [Op::Suspect { .. }]));
    harness.on(Input::Answered(vec![], Ok(vec![])));
    let (mut elsewhere, _) = watched();
    elsewhere.on(Input::Event(batch(5, 6, left('A'))));
    elsewhere.on(Input::Event(batch(6, 7, online('B', 2, "online"))));
    elsewhere.cluster.silent = true;
    elsewhere.on(Input::Command(Command::Suspect));
    assert!(elsewhere.calls.is_empty(), "{:?}", elsewhere.calls);
}

#[test]
fn a_reset_without_the_device_is_asked_about_once_it_can_be_restored_no_more() {
    let (mut harness, outbox) = watched();
    harness.reset(0, 9, Vec::new());
    harness.after(Duration::from_secs(4));
    assert!(told(&outbox).is_empty() && harness.calls.is_empty(), "its node may restore it yet");
    harness.after(Duration::from_secs(1));
    let ops: Vec<_> =
        std::mem::take(&mut harness.calls).into_iter().flat_map(|call| call.ops).collect();
    assert!(ops.iter().any(|op| matches!(op, Op::Inspect | Op::Maintain)), "{ops:?}");
    let count = ops.len();
    harness.on(Input::Answered(ops, Ok(vec![Outcome::Head(Seq(9)); count])));
    harness.answer_all(&view_at(9, vec![line('A', 1, "online")]));
    harness.after(Duration::from_secs(1));
    assert!(told(&outbox).is_empty(), "it is online as before");
}

/// The timer of an earlier change took the time of the question with it, and the log was never asked.
#[test]
fn a_change_that_waits_does_not_put_off_the_question_after_a_reset() {
    let (mut harness, outbox) = watched();
    harness.on(Input::Event(batch(5, 6, online('A', 1, "busy"))));
    harness.on(Input::Event(batch(6, 7, online('A', 1, "free"))));
    harness.reset(7, 8, Vec::new());
    harness.after(Duration::from_millis(200));
    for _ in 0..6 {
        harness.after(Duration::from_secs(1));
        harness.answer_all(&view_at(8, vec![]));
    }
    assert_eq!(told(&outbox), ["busy", "offline"]);
}

#[test]
fn a_log_that_begins_anew_where_nobody_is_here_is_followed_and_not_reset() {
    let (mut harness, outbox) = watched();
    harness.on(Input::Event(batch(5, 6, left('A'))));
    harness.now += Duration::from_secs(1);
    harness.on(Input::Event(batch(0, 9, online('B', 1, "online"))));
    assert!(matches!(&harness.calls[0].ops[..], [Op::Inspect]), "{:?}", harness.calls);
    assert_eq!(harness.calls[0].seen, Seq(0));
    harness.answer([view_at(9, vec![line('B', 1, "online")])]);
    assert_eq!(told(&outbox), ["offline", "online"]);
}

#[test]
fn a_call_to_an_inbox_that_has_ended_is_made_again_as_of_one_who_has_seen_nothing() {
    let (mut harness, _) = watched();
    harness.on(Input::Event(batch(5, 6, left('A'))));
    harness.ask_to_join('B', None);
    let call = harness.call();
    assert_eq!(call.seen, Seq(6));
    harness.on(Input::Answered(call.ops, Err(LogError::RolledBack { head: Seq(0) })));
    let call = harness.call();
    assert!(matches!(&call.ops[..], [Op::Join(_), Op::Inspect]), "{:?}", call.ops);
    assert_eq!(call.seen, Seq(0));
}

#[test]
fn a_device_that_says_online_again_over_its_socket_goes_on_and_hears_nothing_of_others() {
    let mut harness = inbox();
    let outbox = harness.member('A', 1);
    assert_eq!(frames(&outbox), ["online"]);
    harness.answer_all(&calls_at(1, vec![]));
    harness.on(Input::Event(batch(1, 2, online('B', 2, "online"))));
    let again = Command::Join(Box::new(JoinCommand {
        join: crate::log::Join { socket: socket('A'), ..simple('A', 2) },
        ice: None,
        reply: Reply { outbox: outbox.clone(), id: None },
    }));
    harness.on(Input::Command(again));
    harness.answer([joined(3, signal_protocol::Recovery::Snapshot)]);
    let Entry::Joined { peer, n, node, user, .. } = join_of('A', 1) else { unreachable!() };
    let entry = Entry::Joined { peer, n, node, user, resumed: true, meta: Some(status("away")) };
    harness.on(Input::Event(batch(2, 3, entry)));
    harness.answer_all(&calls_at(3, vec![]));
    assert_eq!(frames(&outbox), ["online"]);
    (0..300).for_each(|number| {
        harness.on(Input::Event(batch(3 + number, 4 + number, online('B', 2, "online"))));
    });
    harness.after(Duration::from_secs(60));
    assert!(frames(&outbox).is_empty(), "a device has no position");
}

fn simple(letter: char, attempt: u64) -> crate::log::Join {
    crate::log::Join::simple(&key(letter), attempt, "n_one".parse().unwrap())
}

#[test]
fn a_watched_inbox_does_not_end_and_one_that_nobody_watches_any_more_does() {
    let mut harness = inbox();
    let (outbox, socket) = (Arc::new(Outbox::new(1 << 20)), SocketId::random());
    let command = WatchCommand { user: bo(), socket, outbox };
    harness.on(Input::Command(Command::Watch(command)));
    harness.answer([view_at(0, vec![])]);
    harness.after(Duration::from_secs(3_600));
    assert!(!harness.retires && harness.calls.is_empty());
    harness.on(Input::Command(Command::Unwatch(socket)));
    harness.after(Duration::from_secs(10));
    harness.answer_all(&view_at(0, vec![]));
    harness.after(Duration::from_secs(1));
    assert!(harness.retires);
}

#[test]
fn a_room_that_starts_anew_after_a_panic_keeps_its_watchers() {
    let (mut harness, outbox) = watched();
    let (settings, cluster) = (&harness.settings, &harness.cluster);
    let environment = Environment { now: harness.now, settings, cluster };
    let mut effects = Effects::default();
    harness.replica.rebuild(&environment, &mut effects);
    harness.replica.advance(&environment, &mut effects);
    harness.note(effects);
    harness.answer([view_at(7, vec![line('A', 1, "busy")])]);
    assert_eq!(told(&outbox), ["busy"]);
    harness.replica.close();
    assert_eq!(told(&outbox), ["unavailable"]);
}
