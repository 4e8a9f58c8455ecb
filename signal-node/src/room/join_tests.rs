//! How a member comes in: joins that are late, lost, copied, refused or handed in again.

use std::time::Duration;

use signal_protocol::{Recovery, Seq};

use super::harness::*;
use super::*;
use crate::log::{Entry, FeedEvent, Join, JoinRefusal, LogError, Op, Outcome, RosterMember};

#[test]
fn a_join_whose_entry_comes_before_its_outcome_waits_for_the_roster() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("B");
    let outbox = harness.ask_to_join('A', None);
    harness.on(Input::Event(batch(1, 2, join_of('A', 2))));
    harness.on(Input::Event(batch(2, 3, signal_of('B', 1))));
    assert!(frames(&outbox).is_empty() && frames(&outboxes[0]).is_empty());
    harness.answer([joined(2, Recovery::New)]);
    assert_eq!(frames(&outbox), ["joined", "signal"]);
}

#[test]
fn a_join_that_outlived_its_socket_in_the_queue_is_dropped() {
    let mut harness = ReplicaHarness::new();
    let first = harness.ask_to_join('A', None);
    let reply = Reply { outbox: harness.ask_to_join('B', None), id: None };
    reply.outbox.close();
    let join = Join::simple(&key('C'), 1, "n_one".parse().unwrap());
    harness.on(Input::Command(Command::Join(Box::new(JoinCommand { join, ice: None, reply }))));
    harness.answer([joined(1, Recovery::New)]);
    assert_eq!(harness.call().ops.len(), 1, "the join of C is queued behind that of B");
    drop(first);
}

#[test]
fn a_join_that_outlived_its_socket_in_the_log_is_detached_at_its_entry() {
    let mut harness = ReplicaHarness::new();
    let outbox = harness.ask_to_join('A', None);
    outbox.close();
    harness.answer([joined(1, Recovery::New)]);
    harness.on(Input::Event(batch(0, 1, join_of('A', 1))));
    assert!(matches!(&harness.call().ops[..], [Op::Detach { .. }]));
}

#[test]
fn a_join_whose_entry_was_lost_during_its_replay_is_answered_before_the_reset() {
    let (mut harness, _) = ReplicaHarness::with_members("B");
    let outbox = harness.resumed('A', 0);
    let reset = || batch(0, 9, Entry::Reset { roster: vec![reset_member('A', 3, 0)] });
    harness.on(Input::Event(reset()));
    harness.replay(vec![reset()]);
    assert_eq!(frames(&outbox), ["joined", "reset"]);
}

#[test]
fn a_join_whose_entry_was_passed_over_ends_its_connection() {
    let (mut harness, _) = ReplicaHarness::with_members("B");
    let outbox = harness.ask_to_join('A', None);
    harness.answer([joined(2, Recovery::New)]);
    harness.on(Input::Event(batch(50, 51, signal_of('B', 1))));
    harness.on(Input::Read(Vec::new()));
    assert_eq!(frames(&outbox), ["error"]);
    assert!(matches!(&harness.call().ops[..], [Op::Detach { .. }, Op::Detach { .. }]));
}

#[test]
fn a_join_whose_outcome_comes_after_its_entry_was_passed_over_ends_its_connection() {
    let (mut harness, _) = ReplicaHarness::with_members("B");
    let outbox = harness.ask_to_join('A', None);
    harness.on(Input::Event(batch(50, 51, signal_of('B', 1))));
    harness.on(Input::Read(Vec::new()));
    harness.answer([joined(2, Recovery::New)]);
    assert_eq!(frames(&outbox), ["error"]);
}

#[test]
fn a_join_that_another_nodes_reset_left_out_is_restored() {
    let (mut harness, _) = ReplicaHarness::with_members("B");
    let outbox = harness.ask_to_join('A', None);
    harness.answer([joined(2, Recovery::New)]);
    harness.reset(0, 9, vec![reset_member('B', 1, 0)]);
    let restored = harness.call().ops.into_iter().filter_map(|op| match op {
        Op::Restore(restored) => Some(restored.by.peer),
        _ => None,
    });
    assert!(restored.collect::<Vec<_>>().contains(&peer('A')));
    assert!(frames(&outbox).is_empty());
}

#[test]
fn a_join_that_another_nodes_reset_restored_is_answered_without_its_entry() {
    let (mut harness, _) = ReplicaHarness::with_members("B");
    let outbox = harness.ask_to_join('A', None);
    harness.answer([joined(2, Recovery::New)]);
    harness.reset(0, 9, vec![reset_member('A', 2, 0), reset_member('B', 1, 0)]);
    assert_eq!(frames(&outbox), ["joined", "reset"]);
}

#[test]
fn a_join_that_has_to_wait_for_a_restore_is_handed_in_again_and_keeps_its_room() {
    let mut harness = ReplicaHarness::new();
    let outbox = harness.ask_to_join('A', Some(Seq(7)));
    harness.answer([Outcome::Recovering]);
    harness.after(Duration::from_secs(60));
    assert!(!harness.retires);
    let join = harness.retries.remove(0);
    harness.on(Input::JoinDue(Box::new(join)));
    harness.answer([joined(1, Recovery::New)]);
    harness.on(Input::Event(batch(0, 1, join_of('A', 1))));
    assert_eq!(frames(&outbox), ["joined"]);
}

#[test]
fn a_room_without_members_retires_after_a_while_and_not_while_a_call_is_in_flight() {
    let mut harness = ReplicaHarness::new();
    harness.ask_to_join('A', None).close();
    harness.after(Duration::from_secs(60));
    assert!(!harness.retires);
    harness.answer([joined(1, Recovery::New)]);
    harness.on(Input::Event(batch(0, 1, join_of('A', 1))));
    harness.answer_all(&Outcome::Settled);
    harness.after(Duration::from_secs(10));
    assert!(!harness.retires, "the log is asked first whether it holds a member of this node");
    harness.answer([view(vec![])]);
    harness.after(Duration::ZERO);
    assert!(harness.retires);
}

/// The room had not heard of the entry, had retired, and nobody was responsible for the member.
#[test]
fn a_room_that_ends_detaches_the_members_of_this_node_that_the_log_still_holds() {
    let mut harness = ReplicaHarness::new();
    harness.ask_to_join('A', None);
    harness.answer([Outcome::JoinRefused(JoinRefusal::Locked)]);
    harness.after(Duration::from_secs(10));
    let elsewhere =
        RosterMember { node: "n_other".parse().unwrap(), ..reset_member('B', 2, 0).line };
    harness.answer([view(vec![reset_member('A', 1, 0).line, elsewhere])]);
    let ops = &harness.calls[0].ops;
    let [Op::Detach { by }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!((&by.peer, by.generation), (&peer('A'), Seq(1)));
    assert!(!harness.retires);
    harness.answer_all(&Outcome::Appended(Seq(3)));
    harness.after(Duration::ZERO);
    assert!(harness.retires);
}

/// Its client asked for a place every second, and its own late join held the last one.
#[test]
fn a_late_copy_of_a_refused_join_is_noticed_where_nobody_is_in_the_room() {
    let mut harness = ReplicaHarness::new();
    harness.ask_to_join('A', None);
    harness.answer([Outcome::JoinRefused(JoinRefusal::Locked)]);
    harness.on(Input::Event(batch(6, 7, join_of('A', 1))));
    let ops = harness.call().ops;
    let [Op::Leave { by }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!((&by.peer, by.generation), (&peer('A'), Seq(7)));
}

/// It was detached, the join that was handed in again was answered as the copy was, and its member expired while its client was
/// there.
#[test]
fn a_late_copy_of_a_join_that_is_handed_in_again_keeps_its_member() {
    let mut harness = ReplicaHarness::new();
    let outbox = harness.ask_to_join('A', Some(Seq(7)));
    harness.answer([Outcome::Recovering]);
    harness.on(Input::Event(batch(8, 9, join_of('A', 1))));
    assert!(harness.calls.is_empty(), "{:?}", harness.calls);
    let join = harness.retries.remove(0);
    harness.on(Input::JoinDue(Box::new(join)));
    harness.answer([joined(9, Recovery::New)]);
    assert_eq!(frames(&outbox), ["joined"]);
}

/// The log lost what it had while the call had no answer: the join was taken for that of somebody new, and the member that was put
/// back a moment later was told that it was replaced.
#[test]
fn a_join_that_is_sent_again_after_a_loss_of_contact_waits_for_restores() {
    let mut harness = ReplicaHarness::new();
    harness.ask_to_join('A', Some(Seq(7)));
    let call = harness.call();
    assert!(matches!(&call.ops[..], [Op::Join(join)] if !join.waits), "{:?}", call.ops);
    harness.cluster.in_contact = false;
    let lost = LogError::Unavailable("lost".to_owned());
    harness.on(Input::Answered(call.ops, Err(lost)));
    let ops = harness.call().ops;
    assert!(matches!(&ops[..], [Op::Join(join)] if join.waits), "{ops:?}");
}

/// It was told that somebody else holds the member, and ended for good.
#[test]
fn a_join_whose_member_has_left_before_its_answer_is_asked_for_again() {
    let mut harness = ReplicaHarness::new();
    let outbox = harness.ask_to_join('A', Some(Seq(7)));
    harness.answer([Outcome::Gone(Seq(9))]);
    assert_eq!(frames(&outbox), ["error"]);
}

#[test]
fn a_join_whose_socket_closed_before_it_was_handed_in_again_has_the_room_looked_at() {
    let mut harness = ReplicaHarness::new();
    harness.ask_to_join('A', Some(Seq(7))).close();
    harness.answer([Outcome::Recovering]);
    let join = harness.retries.remove(0);
    harness.on(Input::JoinDue(Box::new(join)));
    assert!(matches!(harness.call().ops[..], [Op::Inspect]));
}

#[test]
fn a_room_that_nobody_is_in_is_looked_at_after_a_gap() {
    let mut harness = ReplicaHarness::new();
    harness.ask_to_join('A', None);
    harness.answer([Outcome::JoinRefused(JoinRefusal::Locked)]);
    harness.on(Input::Event(FeedEvent::Gap));
    harness.answer([Outcome::Head(Seq(7))]);
    assert!(matches!(harness.call().ops[..], [Op::Inspect]));
    harness.after(Duration::from_secs(2));
    assert_eq!(harness.subscriptions, 0, "nothing is awaited that would show a deaf subscription");
}

#[test]
fn a_room_that_somebody_joins_again_is_looked_at_anew_before_it_ends() {
    let mut harness = ReplicaHarness::new();
    for _ in 0..2 {
        harness.ask_to_join('A', None);
        harness.answer([Outcome::JoinRefused(JoinRefusal::Locked)]);
        harness.after(Duration::from_secs(10));
        assert!(matches!(&harness.calls[0].ops[..], [Op::Inspect]) && !harness.retires);
        harness.answer([view(vec![])]);
    }
}

#[test]
fn after_a_panic_members_and_joins_are_closed_and_detached_and_the_room_goes_on() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    let pending = harness.ask_to_join('B', None);
    harness.answer([joined(2, Recovery::New)]);
    let in_flight = harness.ask_to_join('C', None);
    let (settings, cluster) = (&harness.settings, &harness.cluster);
    let environment = &Environment { now: harness.now, settings, cluster };
    let mut effects = Effects::default();
    harness.replica.rebuild(environment, &mut effects);
    harness.note(effects);
    assert_eq!([frames(&outboxes[0]), frames(&pending)], [["error"], ["error"]]);
    harness.answer([joined(4, Recovery::New)]);
    assert!(matches!(&harness.calls[0].ops[..], [Op::Detach { .. }, Op::Detach { .. }]));
    harness.on(Input::Event(batch(3, 4, join_of('C', 4))));
    assert_eq!(frames(&in_flight), ["joined"]);
    harness.answer_all(&Outcome::Settled);
}

/// In a room without a position no call said what had been seen, so nobody noticed the loss, and the join waited on.
#[test]
fn a_first_join_whose_entry_an_emptied_log_has_lost_is_known_to_the_next_call() {
    let mut harness = ReplicaHarness::new();
    harness.ask_to_join('A', None);
    harness.answer([joined(7, Recovery::New)]);
    harness.on(Input::Event(FeedEvent::Gap));
    assert_eq!(harness.call().seen, Seq(7));
}

#[test]
fn a_join_that_is_late_is_answered_unavailable_without_contact() {
    let mut harness = ReplicaHarness::new();
    harness.cluster.in_contact = false;
    let outbox = harness.ask_to_join('A', None);
    harness.answer([Outcome::Stale]);
    let frame = outbox.pop().unwrap().unwrap().frame;
    let frame: serde_json::Value = serde_json::from_slice(&frame).unwrap();
    assert_eq!((&frame["type"], &frame["code"]), (&"error".into(), &"unavailable".into()));
}

#[test]
fn a_join_across_a_step_of_the_clock_is_handed_in_again() {
    let mut harness = ReplicaHarness::new();
    let outbox = harness.ask_to_join('A', None);
    harness.answer([Outcome::Stale]);
    let join = harness.retries.remove(0);
    harness.on(Input::JoinDue(Box::new(join)));
    harness.answer([joined(1, Recovery::New)]);
    harness.on(Input::Event(batch(0, 1, join_of('A', 1))));
    assert_eq!(frames(&outbox), ["joined"]);
}
