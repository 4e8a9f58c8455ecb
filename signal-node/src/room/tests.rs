//! The faults that the fault suite and the simulation have found, each as a course of events in one room.

use std::time::Duration;

use signal_protocol::{Mid, Recovery, Seq};

use super::scene::*;
use super::*;
use crate::log::{Batch, Entry, FeedEvent, Join, JoinRefusal, LogError, Op, Outcome, RosterMember};
use crate::metrics::GapCause;

#[test]
fn a_join_whose_entry_comes_before_its_outcome_waits_for_the_roster() {
    let (mut scene, outboxes) = Scene::with_members("B");
    let outbox = scene.ask_to_join('A', None);
    scene.on(Input::Event(batch(1, 2, join_of('A', 2))));
    scene.on(Input::Event(batch(2, 3, signal_of('B', 1))));
    assert!(frames(&outbox).is_empty() && frames(&outboxes[0]).is_empty());
    scene.answer([joined(2, Recovery::New)]);
    assert_eq!(frames(&outbox), ["joined", "signal"]);
}

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
fn a_join_that_outlived_its_socket_in_the_queue_is_dropped() {
    let mut scene = Scene::new();
    let first = scene.ask_to_join('A', None);
    let reply = Reply { outbox: scene.ask_to_join('B', None), id: None };
    reply.outbox.close();
    let join = Join::simple(&key('C'), 1, "n_one".parse().unwrap());
    scene.on(Input::Command(Command::Join(Box::new(JoinCommand { join, ice: None, reply }))));
    scene.answer([joined(1, Recovery::New)]);
    assert_eq!(scene.call().ops.len(), 1, "the join of C is queued behind that of B");
    drop(first);
}

#[test]
fn a_join_that_outlived_its_socket_in_the_log_is_detached_at_its_entry() {
    let mut scene = Scene::new();
    let outbox = scene.ask_to_join('A', None);
    outbox.close();
    scene.answer([joined(1, Recovery::New)]);
    scene.on(Input::Event(batch(0, 1, join_of('A', 1))));
    assert!(matches!(&scene.call().ops[..], [Op::Detach { .. }]));
}

#[test]
fn a_join_whose_entry_was_lost_during_its_replay_is_answered_before_the_reset() {
    let (mut scene, _) = Scene::with_members("B");
    let outbox = scene.resumed('A', 0);
    let reset = || batch(0, 9, Entry::Reset { roster: vec![survivor('A', 3, 0)] });
    scene.on(Input::Event(reset()));
    scene.replay(vec![reset()]);
    assert_eq!(frames(&outbox), ["joined", "reset"]);
}

#[test]
fn a_join_whose_entry_was_passed_over_ends_its_connection() {
    let (mut scene, _) = Scene::with_members("B");
    let outbox = scene.ask_to_join('A', None);
    scene.answer([joined(2, Recovery::New)]);
    scene.on(Input::Event(batch(50, 51, signal_of('B', 1))));
    scene.on(Input::Read(Vec::new()));
    assert_eq!(frames(&outbox), ["error"]);
    assert!(matches!(&scene.call().ops[..], [Op::Detach { .. }, Op::Detach { .. }]));
}

#[test]
fn a_join_whose_outcome_comes_after_its_entry_was_passed_over_ends_its_connection() {
    let (mut scene, _) = Scene::with_members("B");
    let outbox = scene.ask_to_join('A', None);
    scene.on(Input::Event(batch(50, 51, signal_of('B', 1))));
    scene.on(Input::Read(Vec::new()));
    scene.answer([joined(2, Recovery::New)]);
    assert_eq!(frames(&outbox), ["error"]);
}

#[test]
fn a_join_that_another_nodes_reset_left_out_is_restored() {
    let (mut scene, _) = Scene::with_members("B");
    let outbox = scene.ask_to_join('A', None);
    scene.answer([joined(2, Recovery::New)]);
    scene.reset(0, 9, vec![survivor('B', 1, 0)]);
    let restored = scene.call().ops.into_iter().filter_map(|op| match op {
        Op::Restore(restored) => Some(restored.by.peer),
        _ => None,
    });
    assert!(restored.collect::<Vec<_>>().contains(&peer('A')));
    assert!(frames(&outbox).is_empty());
}

#[test]
fn a_join_that_another_nodes_reset_restored_is_answered_without_its_entry() {
    let (mut scene, _) = Scene::with_members("B");
    let outbox = scene.ask_to_join('A', None);
    scene.answer([joined(2, Recovery::New)]);
    scene.reset(0, 9, vec![survivor('A', 2, 0), survivor('B', 1, 0)]);
    assert_eq!(frames(&outbox), ["joined", "reset"]);
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
    let [Op::Detach { by: ghost }, Op::Reclaim { by: mine }] = &ops[..] else { panic!("{ops:?}") };
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
fn a_join_that_has_to_wait_for_a_restore_is_handed_in_again_and_keeps_its_room() {
    let mut scene = Scene::new();
    let outbox = scene.ask_to_join('A', Some(Seq(7)));
    scene.answer([Outcome::Mending]);
    scene.after(Duration::from_secs(60));
    assert!(!scene.retires);
    let join = scene.retries.remove(0);
    scene.on(Input::JoinDue(Box::new(join)));
    scene.answer([joined(1, Recovery::New)]);
    scene.on(Input::Event(batch(0, 1, join_of('A', 1))));
    assert_eq!(frames(&outbox), ["joined"]);
}

#[test]
fn a_room_without_members_retires_after_a_while_and_not_while_a_call_is_in_flight() {
    let mut scene = Scene::new();
    scene.ask_to_join('A', None).close();
    scene.after(Duration::from_secs(60));
    assert!(!scene.retires);
    scene.answer([joined(1, Recovery::New)]);
    scene.on(Input::Event(batch(0, 1, join_of('A', 1))));
    scene.answer_all(&Outcome::Settled);
    scene.after(Duration::from_secs(10));
    assert!(!scene.retires, "the log is asked first whether it holds a member of this node");
    scene.answer([view(vec![])]);
    scene.after(Duration::ZERO);
    assert!(scene.retires);
}

/// The room had not heard of the entry, had retired, and nobody was responsible for the member.
#[test]
fn a_room_that_ends_detaches_the_members_of_this_node_that_the_log_still_holds() {
    let mut scene = Scene::new();
    scene.ask_to_join('A', None);
    scene.answer([Outcome::JoinRefused(JoinRefusal::Locked)]);
    scene.after(Duration::from_secs(10));
    let elsewhere = RosterMember { node: "n_other".parse().unwrap(), ..survivor('B', 2, 0).line };
    scene.answer([view(vec![survivor('A', 1, 0).line, elsewhere])]);
    let ops = &scene.calls[0].ops;
    let [Op::Detach { by }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!((&by.peer, by.generation), (&peer('A'), Seq(1)));
    assert!(!scene.retires);
    scene.answer_all(&Outcome::Appended(Seq(3)));
    scene.after(Duration::ZERO);
    assert!(scene.retires);
}

/// Its client asked for a place every second, and its own late join held the last one.
#[test]
fn a_late_copy_of_a_refused_join_is_noticed_where_nobody_is_in_the_room() {
    let mut scene = Scene::new();
    scene.ask_to_join('A', None);
    scene.answer([Outcome::JoinRefused(JoinRefusal::Locked)]);
    scene.on(Input::Event(batch(6, 7, join_of('A', 1))));
    let ops = scene.call().ops;
    let [Op::Leave { by }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!((&by.peer, by.generation), (&peer('A'), Seq(7)));
}

#[test]
fn a_room_that_nobody_is_in_is_looked_at_after_a_gap() {
    let mut scene = Scene::new();
    scene.ask_to_join('A', None);
    scene.answer([Outcome::JoinRefused(JoinRefusal::Locked)]);
    scene.on(Input::Event(FeedEvent::Gap));
    scene.answer([Outcome::Head(Seq(7))]);
    assert!(matches!(scene.call().ops[..], [Op::Look]));
    scene.after(Duration::from_secs(2));
    assert_eq!(scene.subscriptions, 0, "nothing is awaited that would show a deaf subscription");
}

#[test]
fn a_room_that_somebody_joins_again_is_looked_at_anew_before_it_ends() {
    let mut scene = Scene::new();
    for _ in 0..2 {
        scene.ask_to_join('A', None);
        scene.answer([Outcome::JoinRefused(JoinRefusal::Locked)]);
        scene.after(Duration::from_secs(10));
        assert!(matches!(&scene.calls[0].ops[..], [Op::Look]) && !scene.retires);
        scene.answer([view(vec![])]);
    }
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

#[test]
fn after_a_panic_members_and_joins_are_closed_and_detached_and_the_room_goes_on() {
    let (mut scene, outboxes) = Scene::with_members("A");
    let pending = scene.ask_to_join('B', None);
    scene.answer([joined(2, Recovery::New)]);
    let in_flight = scene.ask_to_join('C', None);
    let (settings, cluster) = (&scene.settings, &scene.cluster);
    let environment = &Environment { now: scene.now, settings, cluster };
    let mut effects = Effects::default();
    scene.replica.rebuild(environment, &mut effects);
    scene.note(effects);
    assert_eq!([frames(&outboxes[0]), frames(&pending)], [["error"], ["error"]]);
    scene.answer([joined(4, Recovery::New)]);
    assert!(matches!(&scene.calls[0].ops[..], [Op::Detach { .. }, Op::Detach { .. }]));
    scene.on(Input::Event(batch(3, 4, join_of('C', 4))));
    assert_eq!(frames(&in_flight), ["joined"]);
    scene.answer_all(&Outcome::Settled);
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

/// In a room without a position no call said what had been seen, so nobody noticed the loss, and the join waited on.
#[test]
fn a_first_join_whose_entry_an_emptied_log_has_lost_is_known_to_the_next_call() {
    let mut scene = Scene::new();
    scene.ask_to_join('A', None);
    scene.answer([joined(7, Recovery::New)]);
    scene.on(Input::Event(FeedEvent::Gap));
    assert_eq!(scene.call().seen, Seq(7));
}
