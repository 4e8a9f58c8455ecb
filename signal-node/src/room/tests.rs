//! The faults that the fault suite and the simulation have found, each as a course of events in one room.

use std::time::Duration;

use signal_protocol::{Mid, Recovery, Seq};

use super::harness::*;
use super::*;
use crate::log::{Batch, FeedEvent, LogError, Op, Outcome};
use crate::metrics::GapCause;

#[test]
fn signals_that_come_during_a_call_go_in_the_next_one() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    (1..=3).for_each(|mid| harness.say('A', mid));
    harness.answer([Outcome::Appended(Seq(2))]);
    let ops = harness.call().ops;
    let [Op::Signal { mid: Mid(2), .. }, Op::Signal { mid: Mid(3), .. }] = &ops[..] else {
        panic!("{ops:?}")
    };
}

#[test]
fn a_call_without_an_answer_is_repeated_unchanged_and_refuses_what_waits_behind_it() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.say('A', 1);
    harness.say('A', 2);
    harness.now += Duration::from_secs(1);
    let call = harness.call();
    harness.on(Input::Answered(call.ops, Err(LogError::Unavailable("lost".to_owned()))));
    assert!(matches!(&harness.call().ops[..], [Op::Signal { mid: Mid(1), .. }]));
    assert_eq!(frames(&outboxes[0]), ["error"]);
}

#[test]
fn a_message_met_in_the_log_is_restored_although_its_answer_is_still_on_its_way() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.say('A', 1);
    harness.on(Input::Event(batch(1, 2, signal_of('A', 1))));
    harness.on(Input::Event(batch(0, 9, signal_of('B', 1))));
    let call = harness.call();
    harness.on(Input::Answered(call.ops, Err(LogError::RolledBack { head: Seq(0) })));
    let ops = harness.call().ops;
    assert!(matches!(&ops[0], Op::Restore(restored) if restored.mid == Mid(1)), "{ops:?}");
}

#[test]
fn a_replay_does_not_ask_for_ever_for_what_the_log_has_lost() {
    let (mut harness, _) = ReplicaHarness::with_members("B");
    let outbox = harness.resumed('A', 0);
    harness.replay(vec![batch(0, 9, signal_of('B', 2))]);
    assert!(harness.replays.is_empty());
    assert_eq!(frames(&outbox), ["joined"]);
}

#[test]
fn a_replay_stops_where_the_room_is_and_goes_on_live() {
    let (mut harness, _) = ReplicaHarness::with_members("B");
    let outbox = harness.resumed('A', 1);
    let page = || [batch(1, 2, signal_of('B', 1)), batch(3, 4, signal_of('B', 2))];
    let [missed, ahead] = page();
    harness.replay(vec![missed, batch(2, 3, join_of('A', 3)), ahead]);
    harness.on(Input::Event(page()[1].clone()));
    assert_eq!(frames(&outbox), ["signal", "joined", "signal"]);
}

#[test]
fn a_replay_that_the_log_does_not_reach_back_for_ends_the_connection() {
    let (mut harness, _) = ReplicaHarness::with_members("B");
    let outbox = harness.resumed('A', 0);
    harness.replay(vec![batch(1, 2, signal_of('B', 1))]);
    assert_eq!(frames(&outbox), ["error"]);
}

#[test]
fn a_member_whose_loss_is_being_restored_is_not_restored_again() {
    let (mut harness, _) = ReplicaHarness::with_members("AB");
    harness.on(Input::Event(batch(0, 5, signal_of('B', 1))));
    assert!(matches!(&harness.calls[0].ops[..], [Op::Restore(_), Op::Restore(_), Op::Reset]));
    harness.answer([Outcome::Settled, Outcome::Settled, Outcome::Appended(Seq(6))]);
    harness.on(Input::Event(batch(5, 5, signal_of('B', 2))));
    assert!(harness.calls.is_empty(), "{:?}", harness.calls);
}

#[test]
fn a_restore_goes_before_everything_that_waits() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.say('A', 1);
    harness.say('A', 2);
    let call = harness.call();
    harness.on(Input::Answered(call.ops, Err(LogError::RolledBack { head: Seq(0) })));
    let ops = harness.call().ops;
    assert!(
        matches!(&ops[..], [Op::Restore(_), Op::Reset, Op::Signal { .. }, Op::Signal { .. }]),
        "{ops:?}"
    );
}

#[test]
fn a_member_that_the_log_does_not_know_is_restored_once_the_entry_that_would_say_why_was_passed() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("AB");
    harness.say('A', 1);
    harness.answer([Outcome::Gone(Seq(3))]);
    assert!(harness.calls.is_empty());
    harness.on(Input::Event(batch(2, 3, signal_of('B', 1))));
    assert!(matches!(&harness.call().ops[..], [Op::Restore(_), Op::Restore(_), Op::Reset]));
    assert_eq!(frames(&outboxes[0]), ["signal"]);
}

#[test]
fn a_member_that_another_socket_holds_is_told_so_at_the_entry_and_not_before() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("AB");
    harness.say('A', 1);
    harness.answer([Outcome::Replaced(Seq(4))]);
    harness.on(Input::Event(batch(2, 3, signal_of('B', 1))));
    assert_eq!(frames(&outboxes[0]), ["signal"]);
    harness.on(Input::Event(batch(3, 4, join_elsewhere('A', 1))));
    assert_eq!(frames(&outboxes[0]), ["left"]);
}

#[test]
fn a_suspected_member_whose_socket_lives_is_reclaimed_and_its_message_goes_again() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.say('A', 1);
    harness.answer([Outcome::Suspected(Seq(5))]);
    let ops = harness.call().ops;
    let [Op::Reclaim { by }, Op::Signal { by: again, mid: Mid(1), .. }] = &ops[..] else {
        panic!("{ops:?}")
    };
    assert_eq!((by.generation, again.generation), (Seq(5), Seq(5)));
    assert_eq!(harness.counts.iter().filter(|count| **count == Count::Reclaimed).count(), 1);
}

#[test]
fn a_member_that_left_before_the_loss_and_is_in_the_roster_again_is_detached() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.reset(1, 9, vec![reset_member('A', 1, 0), reset_member('C', 4, 0)]);
    let ops = harness.call().ops;
    let [Op::Reclaim { by: mine }, Op::Detach { by: ghost }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!((&ghost.peer, &mine.peer), (&peer('C'), &peer('A')), "A is confirmed");
}

#[test]
fn a_reset_is_sent_also_to_a_member_that_is_yet_to_be_restored() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.reset(0, 9, Vec::new());
    harness.on(Input::Event(batch(9, 10, signal_of('B', 1))));
    assert_eq!(frames(&outboxes[0]), ["reset", "signal"]);
}

#[test]
fn a_hole_counts_as_a_loss_only_where_the_log_was_looked_into_for_it() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.on(Input::Event(FeedEvent::Gap));
    harness.on(Input::Event(batch(2, 3, signal_of('B', 2))));
    harness.on(Input::Read(Vec::new()));
    assert_eq!(harness.reads, [Seq(1), Seq(1)]);
    let entries = vec![signal_of('B', 1)];
    harness.on(Input::Read(vec![Batch { prev: Seq(1), first: Seq(2), entries }]));
    assert_eq!(frames(&outboxes[0]), ["signal", "signal"]);
}

#[test]
fn a_deaf_subscription_is_noticed_and_replaced_once() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.say('A', 1);
    harness.answer([Outcome::Appended(Seq(2))]);
    (0..3).for_each(|_| harness.after(Duration::from_secs(1)));
    assert!(harness.counts.contains(&Count::Gap(GapCause::Deaf)));
    assert_eq!((harness.subscriptions, &harness.reads[..]), (1, &[Seq(1), Seq(1)][..]));
}

#[test]
fn members_of_a_silent_node_are_suspected_by_a_room_that_has_members() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.cluster.silent = true;
    harness.on(Input::Command(Command::Suspect));
    assert!(matches!(&harness.call().ops[..], [Op::Suspect { .. }]));
}

#[test]
fn an_acknowledgement_comes_within_a_second_and_names_the_position() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.say('A', 1);
    harness.answer([Outcome::Appended(Seq(2))]);
    harness.on(Input::Event(batch(1, 2, signal_of('A', 1))));
    assert!(frames(&outboxes[0]).is_empty());
    harness.after(Duration::from_secs(1));
    let ack = outboxes[0].pop().unwrap().unwrap().frame;
    assert_eq!(ack, r#"{"type":"ack","room":"demo","mid":1,"seq":2}"#);
}

/// The leave of an older socket took the member from the newer one, which was deaf from then on.
#[test]
fn a_leave_that_is_answered_after_a_newer_socket_has_the_member_does_not_remove_it() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    let reply = Reply { outbox: outboxes[0].clone(), id: None };
    let newer = harness.ask_to_join_again('A', 2);
    let (peer, socket) = (peer('A'), socket('A'));
    harness.on(Input::Command(Command::Leave { peer, socket, reply }));
    harness.answer([joined(2, Recovery::Snapshot)]);
    harness.on(Input::Event(batch(1, 2, join_of('A', 1))));
    harness.answer([Outcome::Replaced(Seq(2))]);
    harness.on(Input::Event(batch(2, 3, signal_of('B', 1))));
    assert_eq!(frames(&newer), ["joined", "signal"]);
    assert_eq!(frames(&outboxes[0]), ["left", "ok"]);
}

/// The page of a member is closed or left.
fn go_away(harness: &mut ReplicaHarness, letter: char) {
    let (peer, socket) = (peer(letter), socket(letter));
    harness.on(Input::Command(Command::Detach { peer, socket, is_going_away: true }));
}

#[test]
fn a_member_whose_page_was_closed_leaves_after_five_seconds() {
    let (mut harness, _) = ReplicaHarness::with_members("AB");
    go_away(&mut harness, 'A');
    assert!(matches!(&harness.calls[0].ops[..], [Op::Detach { .. }]));
    harness.answer([Outcome::Appended(Seq(3))]);
    harness.after(Duration::from_secs(4));
    assert!(harness.calls.is_empty());
    harness.after(Duration::from_secs(1));
    let ops = harness.call().ops;
    let [Op::Leave { by }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!(
        (&by.peer, by.generation),
        (&peer('A'), Seq(1)),
        "as of before: who is back has another claim"
    );
}

#[test]
fn a_member_whose_page_was_closed_keeps_its_grace_where_its_node_was_out_of_contact() {
    let (mut harness, _) = ReplicaHarness::with_members("AB");
    go_away(&mut harness, 'A');
    harness.answer([Outcome::Appended(Seq(3))]);
    harness.cluster.in_contact = false;
    harness.after(Duration::from_secs(5));
    assert!(harness.calls.is_empty());
}
