//! How a member comes in: joins that are late, lost, copied, refused or handed in again.

use std::time::Duration;

use signal_protocol::{Recovery, Seq};

use super::scene::*;
use super::*;
use crate::log::{Entry, FeedEvent, Join, JoinRefusal, Op, Outcome, RosterMember};

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

/// It was detached, the join that was handed in again was answered as the copy was, and its member expired while its client was
/// there.
#[test]
fn a_late_copy_of_a_join_that_is_handed_in_again_keeps_its_member() {
    let mut scene = Scene::new();
    let outbox = scene.ask_to_join('A', Some(Seq(7)));
    scene.answer([Outcome::Mending]);
    scene.on(Input::Event(batch(8, 9, join_of('A', 1))));
    assert!(scene.calls.is_empty(), "{:?}", scene.calls);
    let join = scene.retries.remove(0);
    scene.on(Input::JoinDue(Box::new(join)));
    scene.answer([joined(9, Recovery::New)]);
    assert_eq!(frames(&outbox), ["joined"]);
}

#[test]
fn a_join_whose_socket_closed_before_it_was_handed_in_again_has_the_room_looked_at() {
    let mut scene = Scene::new();
    scene.ask_to_join('A', Some(Seq(7))).close();
    scene.answer([Outcome::Mending]);
    let join = scene.retries.remove(0);
    scene.on(Input::JoinDue(Box::new(join)));
    assert!(matches!(scene.call().ops[..], [Op::Look]));
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

/// In a room without a position no call said what had been seen, so nobody noticed the loss, and the join waited on.
#[test]
fn a_first_join_whose_entry_an_emptied_log_has_lost_is_known_to_the_next_call() {
    let mut scene = Scene::new();
    scene.ask_to_join('A', None);
    scene.answer([joined(7, Recovery::New)]);
    scene.on(Input::Event(FeedEvent::Gap));
    assert_eq!(scene.call().seen, Seq(7));
}

#[test]
fn a_join_that_is_late_is_answered_unavailable_without_contact() {
    let mut scene = Scene::new();
    scene.cluster.in_contact = false;
    let outbox = scene.ask_to_join('A', None);
    scene.answer([Outcome::Stale]);
    let frame = outbox.pop().unwrap().unwrap().frame;
    let frame: serde_json::Value = serde_json::from_slice(&frame).unwrap();
    assert_eq!((&frame["type"], &frame["code"]), (&"error".into(), &"unavailable".into()));
}

#[test]
fn a_join_across_a_step_of_the_clock_is_handed_in_again() {
    let mut scene = Scene::new();
    let outbox = scene.ask_to_join('A', None);
    scene.answer([Outcome::Stale]);
    let join = scene.retries.remove(0);
    scene.on(Input::JoinDue(Box::new(join)));
    scene.answer([joined(1, Recovery::New)]);
    scene.on(Input::Event(batch(0, 1, join_of('A', 1))));
    assert_eq!(frames(&outbox), ["joined"]);
}
