//! The faults that the fault suite and the simulation have found, each as a course of events in one room.

use std::time::Duration;

use signal_protocol::{Mid, Recovery, Seq};

use super::scene::*;
use super::*;
use crate::log::{Batch, FeedEvent, LogError, Op, Outcome};
use crate::metrics::GapCause;

#[test]
fn signals_that_come_during_a_call_go_in_the_next_one() {
    let (mut scene, _) = Scene::with_members("A");
    (1..=3).for_each(|mid| scene.say('A', mid));
    scene.answer([Outcome::Appended(Seq(2))]);
    let ops = scene.call().ops;
    let [Op::Signal { mid: Mid(2), .. }, Op::Signal { mid: Mid(3), .. }] = &ops[..] else {
        panic!("{ops:?}")
    };
}

#[test]
fn a_call_without_an_answer_is_repeated_unchanged_and_refuses_what_waits_behind_it() {
    let (mut scene, outboxes) = Scene::with_members("A");
    scene.say('A', 1);
    scene.say('A', 2);
    scene.now += Duration::from_secs(1);
    let call = scene.call();
    scene.on(Input::Answered(call.ops, Err(LogError::Unavailable("lost".to_owned()))));
    assert!(matches!(&scene.call().ops[..], [Op::Signal { mid: Mid(1), .. }]));
    assert_eq!(frames(&outboxes[0]), ["error"]);
}

#[test]
fn a_message_met_in_the_log_is_restored_although_its_answer_is_still_on_its_way() {
    let (mut scene, _) = Scene::with_members("A");
    scene.say('A', 1);
    scene.on(Input::Event(batch(1, 2, signal_of('A', 1))));
    scene.on(Input::Event(batch(0, 9, signal_of('B', 1))));
    let call = scene.call();
    scene.on(Input::Answered(call.ops, Err(LogError::RolledBack { head: Seq(0) })));
    let ops = scene.call().ops;
    assert!(matches!(&ops[0], Op::Restore(restored) if restored.mid == Mid(1)), "{ops:?}");
}

#[test]
fn a_replay_does_not_ask_for_ever_for_what_the_log_has_lost() {
    let (mut scene, _) = Scene::with_members("B");
    let outbox = scene.resumed('A', 0);
    scene.replay(vec![batch(0, 9, signal_of('B', 2))]);
    assert!(scene.replays.is_empty());
    assert_eq!(frames(&outbox), ["joined"]);
}

#[test]
fn a_replay_stops_where_the_room_is_and_goes_on_live() {
    let (mut scene, _) = Scene::with_members("B");
    let outbox = scene.resumed('A', 1);
    let page = || [batch(1, 2, signal_of('B', 1)), batch(3, 4, signal_of('B', 2))];
    let [missed, ahead] = page();
    scene.replay(vec![missed, batch(2, 3, join_of('A', 3)), ahead]);
    scene.on(Input::Event(page()[1].clone()));
    assert_eq!(frames(&outbox), ["signal", "joined", "signal"]);
}

#[test]
fn a_replay_that_the_log_does_not_reach_back_for_ends_the_connection() {
    let (mut scene, _) = Scene::with_members("B");
    let outbox = scene.resumed('A', 0);
    scene.replay(vec![batch(1, 2, signal_of('B', 1))]);
    assert_eq!(frames(&outbox), ["error"]);
}

#[test]
fn a_member_whose_loss_is_being_restored_is_not_restored_again() {
    let (mut scene, _) = Scene::with_members("AB");
    scene.on(Input::Event(batch(0, 5, signal_of('B', 1))));
    assert!(matches!(&scene.calls[0].ops[..], [Op::Restore(_), Op::Restore(_), Op::Reset]));
    scene.answer([Outcome::Settled, Outcome::Settled, Outcome::Appended(Seq(6))]);
    scene.on(Input::Event(batch(5, 5, signal_of('B', 2))));
    assert!(scene.calls.is_empty(), "{:?}", scene.calls);
}

#[test]
fn a_restore_goes_before_everything_that_waits() {
    let (mut scene, _) = Scene::with_members("A");
    scene.say('A', 1);
    scene.say('A', 2);
    let call = scene.call();
    scene.on(Input::Answered(call.ops, Err(LogError::RolledBack { head: Seq(0) })));
    let ops = scene.call().ops;
    assert!(
        matches!(&ops[..], [Op::Restore(_), Op::Reset, Op::Signal { .. }, Op::Signal { .. }]),
        "{ops:?}"
    );
}

#[test]
fn a_member_that_the_log_does_not_know_is_restored_once_the_entry_that_would_say_why_was_passed() {
    let (mut scene, outboxes) = Scene::with_members("AB");
    scene.say('A', 1);
    scene.answer([Outcome::Gone(Seq(3))]);
    assert!(scene.calls.is_empty());
    scene.on(Input::Event(batch(2, 3, signal_of('B', 1))));
    assert!(matches!(&scene.call().ops[..], [Op::Restore(_), Op::Restore(_), Op::Reset]));
    assert_eq!(frames(&outboxes[0]), ["signal"]);
}

#[test]
fn a_member_that_another_socket_holds_is_told_so_at_the_entry_and_not_before() {
    let (mut scene, outboxes) = Scene::with_members("AB");
    scene.say('A', 1);
    scene.answer([Outcome::Replaced(Seq(4))]);
    scene.on(Input::Event(batch(2, 3, signal_of('B', 1))));
    assert_eq!(frames(&outboxes[0]), ["signal"]);
    scene.on(Input::Event(batch(3, 4, join_elsewhere('A', 1))));
    assert_eq!(frames(&outboxes[0]), ["left"]);
}

#[test]
fn a_suspected_member_whose_socket_lives_is_reclaimed_and_its_message_goes_again() {
    let (mut scene, _) = Scene::with_members("A");
    scene.say('A', 1);
    scene.answer([Outcome::Suspected(Seq(5))]);
    let ops = scene.call().ops;
    let [Op::Reclaim { by }, Op::Signal { by: again, mid: Mid(1), .. }] = &ops[..] else {
        panic!("{ops:?}")
    };
    assert_eq!((by.generation, again.generation), (Seq(5), Seq(5)));
    assert_eq!(scene.counts.iter().filter(|count| **count == Count::Reclaimed).count(), 1);
}

#[test]
fn a_member_that_left_before_the_loss_and_is_in_the_roster_again_is_detached() {
    let (mut scene, _) = Scene::with_members("A");
    scene.reset(1, 9, vec![survivor('A', 1, 0), survivor('C', 4, 0)]);
    let ops = scene.call().ops;
    let [Op::Reclaim { by: mine }, Op::Detach { by: ghost }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!((&ghost.peer, &mine.peer), (&peer('C'), &peer('A')), "A is confirmed");
}

#[test]
fn a_reset_is_sent_also_to_a_member_that_is_yet_to_be_restored() {
    let (mut scene, outboxes) = Scene::with_members("A");
    scene.reset(0, 9, Vec::new());
    scene.on(Input::Event(batch(9, 10, signal_of('B', 1))));
    assert_eq!(frames(&outboxes[0]), ["reset", "signal"]);
}

#[test]
fn a_hole_counts_as_a_loss_only_where_the_log_was_looked_into_for_it() {
    let (mut scene, outboxes) = Scene::with_members("A");
    scene.on(Input::Event(FeedEvent::Gap));
    scene.on(Input::Event(batch(2, 3, signal_of('B', 2))));
    scene.on(Input::Read(Vec::new()));
    assert_eq!(scene.reads, [Seq(1), Seq(1)]);
    let entries = vec![signal_of('B', 1)];
    scene.on(Input::Read(vec![Batch { prev: Seq(1), first: Seq(2), entries }]));
    assert_eq!(frames(&outboxes[0]), ["signal", "signal"]);
}

#[test]
fn a_deaf_subscription_is_noticed_and_replaced_once() {
    let (mut scene, _) = Scene::with_members("A");
    scene.say('A', 1);
    scene.answer([Outcome::Appended(Seq(2))]);
    (0..3).for_each(|_| scene.after(Duration::from_secs(1)));
    assert!(scene.counts.contains(&Count::Gap(GapCause::Deaf)));
    assert_eq!((scene.subscriptions, &scene.reads[..]), (1, &[Seq(1), Seq(1)][..]));
}

#[test]
fn members_of_a_silent_node_are_suspected_by_a_room_that_has_members() {
    let (mut scene, _) = Scene::with_members("A");
    scene.cluster.silent = true;
    scene.on(Input::Command(Command::Suspect));
    assert!(matches!(&scene.call().ops[..], [Op::Suspect { .. }]));
}

#[test]
fn an_acknowledgement_comes_within_a_second_and_names_the_position() {
    let (mut scene, outboxes) = Scene::with_members("A");
    scene.say('A', 1);
    scene.answer([Outcome::Appended(Seq(2))]);
    scene.on(Input::Event(batch(1, 2, signal_of('A', 1))));
    assert!(frames(&outboxes[0]).is_empty());
    scene.after(Duration::from_secs(1));
    let ack = outboxes[0].pop().unwrap().unwrap().frame;
    assert_eq!(ack, r#"{"type":"ack","room":"demo","mid":1,"seq":2}"#);
}

/// The leave of an older socket took the member from the newer one, which was deaf from then on.
#[test]
fn a_leave_that_is_answered_after_a_newer_socket_has_the_member_does_not_remove_it() {
    let (mut scene, outboxes) = Scene::with_members("A");
    let reply = Reply { outbox: outboxes[0].clone(), id: None };
    let newer = scene.ask_to_join_again('A', 2);
    let (peer, socket) = (peer('A'), socket('A'));
    scene.on(Input::Command(Command::Leave { peer, socket, reply }));
    scene.answer([joined(2, Recovery::Snapshot)]);
    scene.on(Input::Event(batch(1, 2, join_of('A', 1))));
    scene.answer([Outcome::Replaced(Seq(2))]);
    scene.on(Input::Event(batch(2, 3, signal_of('B', 1))));
    assert_eq!(frames(&newer), ["joined", "signal"]);
    assert_eq!(frames(&outboxes[0]), ["left", "ok"]);
}
