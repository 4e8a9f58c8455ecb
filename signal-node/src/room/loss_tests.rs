//! What a room does about members that the log takes for ours, and about what it cannot read.

use std::time::Duration;

use signal_protocol::{Mid, Recovery, Seq};

use super::harness::*;
use super::*;
use crate::log::{Entry, Join, Joined, LogError, Op, Outcome, Payload, RosterMember};

/// A member of this node as the log tells it in a roster.
fn line(letter: char, joined: u64) -> RosterMember {
    reset_member(letter, joined, 0).line
}

/// A replica that was behind brings back a member that had left this node, and no reset was needed.
#[test]
fn a_member_of_ours_in_a_roster_that_has_no_socket_here_is_detached() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.ask_to_join('B', None);
    let Outcome::Joined(told) = joined(2, Recovery::New) else { panic!() };
    let roster = vec![line('A', 1), line('C', 7)];
    harness.answer([Outcome::Joined(Box::new(Joined { roster, ..*told }))]);
    let ops = harness.call().ops;
    let [Op::Detach { by }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!((&by.peer, by.generation), (&peer('C'), Seq(7)));
}

/// The copy of a join whose sender has given up made a member for whom nobody was responsible. It took the place of another
/// one for the whole grace.
#[test]
fn a_member_by_an_unclaimed_join_over_this_node_leaves() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.on(Input::Event(batch(1, 2, join_of('C', 2))));
    let ops = harness.call().ops;
    let [Op::Leave { by }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!((&by.peer, by.generation), (&peer('C'), Seq(2)));
}

/// After a loss that nobody has noticed, the copy of a join may be of a member that is on another node by now.
#[test]
fn a_member_by_an_unclaimed_join_is_only_away_in_a_fresh_contact() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.cluster.in_contact = false;
    harness.on(Input::Event(batch(1, 2, join_of('C', 2))));
    let ops = harness.call().ops;
    let [Op::Detach { by }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!((&by.peer, by.generation), (&peer('C'), Seq(2)));
}

/// A log that had lost everything took a late copy of a join for a new one, and the member was told that it was replaced.
#[test]
fn a_member_keeps_its_place_when_a_late_copy_of_its_join_enters_a_log_that_has_lost_it() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.on(Input::Event(batch(1, 2, join_of('A', 1))));
    assert!(frames(&outboxes[0]).is_empty());
    let ops = harness.call().ops;
    assert!(matches!(&ops[..], [Op::Reclaim { by }] if by.generation == Seq(2)), "{ops:?}");
}

#[test]
fn a_message_that_was_sent_with_the_claim_before_goes_again_with_the_new_one() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.say('A', 1);
    harness.on(Input::Event(batch(1, 2, join_of('A', 1))));
    harness.answer([Outcome::Replaced(Seq(2))]);
    let ops = harness.call().ops;
    let [Op::Signal { by, .. }, Op::Reclaim { .. }] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!(by.generation, Seq(2));
    assert!(frames(&outboxes[0]).is_empty());
}

#[test]
fn a_claim_that_the_log_rejects_is_not_lost_when_the_entry_gives_a_new_one() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.say('A', 1);
    harness.answer([Outcome::Replaced(Seq(2))]);
    harness.on(Input::Event(batch(1, 2, join_of('A', 1))));
    assert!(frames(&outboxes[0]).is_empty());
    assert!(matches!(&harness.call().ops[..], [Op::Reclaim { .. }]));
}

#[test]
fn after_the_reset_of_another_node_the_members_here_are_confirmed_and_the_rest_looked_at_in_time() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.reset(1, 9, vec![reset_member('A', 1, 0)]);
    harness.answer([Outcome::Settled]);
    assert!(harness.calls.is_empty(), "{:?}", harness.calls);
    harness.after(Duration::from_secs(5));
    assert!(matches!(&harness.call().ops[..], [Op::Maintain]));
}

#[test]
fn the_members_of_our_own_reset_need_no_confirmation() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.on(Input::Event(batch(0, 5, signal_of('B', 1))));
    harness.answer([Outcome::Settled, Outcome::Appended(Seq(6))]);
    harness.reset(5, 6, vec![reset_member('A', 1, 0)]);
    assert!(harness.calls.is_empty(), "{:?}", harness.calls);
}

#[test]
fn an_entry_that_cannot_be_read_is_a_loss_and_one_of_a_newer_version_is_nothing() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.on(Input::Event(batch(1, 2, Entry::Unknown)));
    assert!(harness.calls.is_empty() && frames(&outboxes[0]).is_empty());
    harness.on(Input::Event(batch(2, 3, Entry::Unreadable)));
    assert!(matches!(&harness.call().ops[..], [Op::Restore(_), Op::Reset]));
}

#[test]
fn a_member_that_the_log_does_not_restore_since_it_has_left_is_told_and_let_go() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.on(Input::Event(batch(0, 5, signal_of('B', 1))));
    harness.answer([Outcome::Gone(Seq(4)), Outcome::Appended(Seq(6))]);
    harness.reset(5, 6, Vec::new());
    assert_eq!(frames(&outboxes[0]), ["left"]);
    assert!(harness.calls.is_empty(), "it is not restored again: {:?}", harness.calls);
}

#[test]
fn a_suspicion_goes_on_while_there_are_more_and_is_judged_anew_where_it_was_stale() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.cluster.silent = true;
    harness.on(Input::Command(Command::Suspect));
    harness.answer([Outcome::More]);
    assert!(matches!(&harness.calls[0].ops[..], [Op::Suspect { .. }]));
    harness.answer([Outcome::Stale]);
    assert!(harness.calls.is_empty(), "not at once: {:?}", harness.calls);
    harness.after(Duration::from_secs(1));
    assert!(matches!(&harness.call().ops[..], [Op::Suspect { .. }]));
}

/// A member that was suspected and reclaimed before its socket broke stayed for ever.
#[test]
fn a_detach_that_a_suspicion_stands_in_the_way_of_goes_again() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    let _ = &outboxes;
    harness.on(Input::Command(Command::Detach {
        peer: peer('A'),
        socket: socket('A'),
        is_going_away: false,
    }));
    harness.answer([Outcome::Suspected(Seq(7))]);
    let ops = harness.call().ops;
    assert!(matches!(&ops[..], [Op::Detach { by }] if by.generation == Seq(7)), "{ops:?}");
}

/// A join over the same socket said that it had seen nothing, and was taken for a late copy.
#[test]
fn a_join_behind_a_leave_says_that_the_leave_is_known() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    let reply = Reply { outbox: outboxes[0].clone(), id: None };
    harness.on(Input::Command(Command::Leave { peer: peer('A'), socket: socket('A'), reply }));
    harness.answer([Outcome::Appended(Seq(4))]);
    let join = Join::simple(&key('A'), 1, "n_one".parse().unwrap());
    let reply = Reply { outbox: outboxes[0].clone(), id: None };
    harness.on(Input::Command(Command::Join(Box::new(JoinCommand { join, ice: None, reply }))));
    assert_eq!(harness.call().seen, Seq(4));
}

/// A join whose client was told that the log is not reachable took effect later. The client's next join over the same socket was
/// answered with an entry that was delivered already, and closed its connection.
#[test]
fn a_new_member_whose_client_has_given_up_leaves_before_its_next_join() {
    let mut harness = ReplicaHarness::new();
    let outbox = harness.ask_to_join('A', None);
    let lost = || Err(LogError::Unavailable("lost".to_owned()));
    let call = harness.call();
    harness.on(Input::Answered(call.ops, lost()));
    harness.now += Duration::from_secs(7);
    let call = harness.call();
    harness.on(Input::Answered(call.ops, lost()));
    assert_eq!(frames(&outbox), ["error"]);
    harness.answer([joined(1, Recovery::New)]);
    let ops = harness.call().ops;
    assert!(matches!(&ops[..], [Op::Leave { by }] if by.generation == Seq(1)), "{ops:?}");
}

/// The entry of the suspicion lay in the hole before a reset, so that the member got neither the reset nor a word of the
/// gap (a simulated cluster with a short log, cut off from it for two seconds).
#[test]
fn a_member_that_was_suspected_in_the_hole_before_a_reset_is_reclaimed_and_told_of_the_reset() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    let mut away = reset_member('A', 5, 0);
    away.line.away = Some(Duration::from_secs(1));
    harness.reset(6, 9, vec![away]);
    harness.on(Input::Read(Vec::new()));
    assert_eq!(frames(&outboxes[0]), ["reset"]);
    let ops = harness.call().ops;
    assert!(matches!(&ops[..], [Op::Reclaim { by }, ..] if by.generation == Seq(5)), "{ops:?}");
}

#[test]
fn a_member_that_another_node_holds_as_of_a_reset_ends_its_connection() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    let mut elsewhere = reset_member('A', 5, 0);
    elsewhere.line.node = "n_other".parse().unwrap();
    harness.reset(6, 9, vec![elsewhere]);
    harness.on(Input::Read(Vec::new()));
    assert_eq!(frames(&outboxes[0]), ["error"]);
}

/// Found by the fuzz target `rooms`: over a new socket the client was told what followed the reset, and not the reset.
#[test]
fn a_member_that_a_reset_knows_with_an_earlier_claim_is_told_of_the_reset() {
    let (mut harness, _) = ReplicaHarness::with_members("B");
    let outbox = harness.member('A', 2);
    frames(&outbox);
    harness.reset(2, 9, vec![reset_member('A', 1, 0), reset_member('B', 1, 0)]);
    assert_eq!(frames(&outbox), ["reset"]);
    assert!(matches!(&harness.call().ops[..], [Op::Restore(_), Op::Restore(_), Op::Reset]));
}

/// A call was repeated in a log that had come back without its last writes: its messages were heard twice.
#[test]
fn a_message_that_a_log_without_its_last_writes_takes_again_is_not_delivered_again() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.on(Input::Event(batch(1, 2, signal_of('B', 1))));
    harness.on(Input::Event(batch(2, 3, signal_of('B', 2))));
    assert_eq!(frames(&outboxes[0]), ["signal", "signal"]);
    harness.on(Input::Event(batch(2, 7, signal_of('B', 2))));
    harness.reset(7, 8, vec![reset_member('A', 1, 0), reset_member('B', 1, 2)]);
    assert_eq!(frames(&outboxes[0]), ["reset"]);
    harness.on(Input::Event(batch(8, 9, signal_of('B', 3))));
    assert_eq!(frames(&outboxes[0]), ["signal"]);
}

/// Found by the fuzz target `rooms`: the log was lost a second time while the answer to a restore was on its way. That restore
/// was taken for one that the new log held, and joins whose entries were lost with the first log were never answered.
#[test]
fn a_restore_that_went_to_a_log_that_is_lost_too_is_made_again() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.on(Input::Event(batch(0, 5, signal_of('B', 1))));
    let restore = harness.call();
    harness.reset(0, 9, Vec::new());
    assert!(harness.calls.is_empty(), "one at a time");
    let outcomes = vec![Outcome::Settled, Outcome::Appended(Seq(6))];
    harness.on(Input::Answered(restore.ops, Ok(outcomes)));
    assert!(matches!(&harness.call().ops[..], [Op::Restore(_), Op::Reset]));
}

/// Found by the fuzz target `rooms`: a log that was emptied behind a first join begins at 0 again, as that join did, so that no
/// loss was seen and the join was never answered.
#[test]
fn a_first_join_whose_entry_the_position_passes_is_restored() {
    let mut harness = ReplicaHarness::new();
    harness.ask_to_join('A', None);
    harness.answer([joined(1, Recovery::New)]);
    harness.on(Input::Event(batch(0, 5, join_elsewhere('B', 1))));
    assert!(matches!(&harness.call().ops[..], [Op::Restore(_), Op::Reset]));
}

/// Found by the fuzz target `rooms`: the node waited for its own reset, which a second loss had taken, and delivered nothing.
#[test]
fn a_restore_is_made_again_when_the_log_has_lost_our_own_reset() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    harness.on(Input::Event(batch(0, 5, signal_of('B', 1))));
    harness.answer([Outcome::Settled, Outcome::Appended(Seq(6))]);
    harness.on(Input::Event(batch(0, 9, signal_of('B', 2))));
    assert!(matches!(&harness.call().ops[..], [Op::Restore(_), Op::Reset]));
}

/// The log lost the entry of an update before any node had it. Its sender had been told that it was settled, and does not send it
/// again.
#[test]
fn an_update_that_was_answered_is_restored_although_its_entry_never_came() {
    let (mut harness, _) = ReplicaHarness::with_members("A");
    let id = MessageId { peer: peer('A'), socket: socket('A'), mid: Mid(1) };
    let meta: Payload = serde_json::value::RawValue::from_string("2".to_owned()).unwrap().into();
    harness.on(Input::Command(Command::Ordered { id, what: Ordered::Update(meta) }));
    harness.answer([Outcome::Appended(Seq(2))]);
    harness.say('A', 2);
    let call = harness.call();
    harness.on(Input::Answered(call.ops, Err(LogError::RolledBack { head: Seq(0) })));
    let ops = harness.call().ops;
    let Op::Restore(restored) = &ops[0] else { panic!("{ops:?}") };
    assert_eq!((restored.mid, restored.record.meta.get()), (Mid(1), "2"));
}

/// The log had an older count of the sender, whose client numbered anew what waited: all of that was taken for delivered.
#[test]
fn messages_that_are_numbered_anew_after_a_reset_are_delivered() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    harness.on(Input::Event(batch(1, 2, join_elsewhere('B', 2))));
    harness.on(Input::Event(batch(2, 3, signal_of('B', 5))));
    let roster = vec![reset_member('A', 1, 0), reset_member('B', 2, 2)];
    harness.on(Input::Event(batch(3, 4, Entry::Reset { roster })));
    frames(&outboxes[0]);
    harness.on(Input::Event(batch(4, 5, signal_of('B', 3))));
    assert_eq!(frames(&outboxes[0]), ["signal"]);
}

/// Found by the fuzz target `rooms`: a reset spoke for the join of the newer socket, whose entry was lost. The older socket was not
/// told, and heard nothing more.
#[test]
fn a_socket_is_told_that_a_newer_one_has_its_member_although_only_a_reset_says_so() {
    let (mut harness, outboxes) = ReplicaHarness::with_members("A");
    let newer = harness.ask_to_join_again('A', 2);
    harness.answer([joined(2, Recovery::Snapshot)]);
    harness.reset(0, 9, vec![reset_member('A', 2, 0)]);
    assert_eq!(frames(&outboxes[0]), ["left"]);
    assert_eq!(frames(&newer), ["joined", "reset"]);
}
