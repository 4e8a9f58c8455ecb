//! Negative twins by mutation: a good history, recorded from a real cluster, is changed in one
//! place, and exactly the checks that guard that promise must find it.
//!
//! `tests/good.jsonl` is what `fault-suite chaos --history` wrote of a run with faults of every kind.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a mutation selects few of the events of a history"
)]

use fault_suite::check::broken;
use fault_suite::history::{Event, History, LeaveReason, Peer, Recovery, SUITE, Seen, What};

fn good() -> History {
    let text = include_str!("good.jsonl");
    History::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("the file is a history")
}

/// The places of the events that are so.
fn places(history: &History, wanted: impl Fn(&Event) -> bool) -> Vec<usize> {
    let events = history.events.iter().enumerate();
    events.filter(|(_, event)| wanted(event)).map(|(place, _)| place).collect()
}

/// The arrivals of one sender's signals at one receiver, many and without anything between them
/// that excuses a gap.
fn stream(history: &History) -> Vec<usize> {
    let arrivals = |who: u32, from: Peer| {
        let is_one = |event: &Event| {
            event.who == who && matches!(event.what, What::Received { from: f, .. } if f == from)
        };
        places(history, is_one)
    };
    let calm = |who: u32| {
        let interrupts = |event: &Event| match &event.what {
            What::Joined(joined) => event.who == who && joined.recovery != Recovery::Replay,
            _ => false,
        };
        // Its first join, and replays after that.
        places(history, interrupts).len() == 1
    };
    let pairs = history.events.iter().filter_map(|event| match event.what {
        What::Received { from, .. } if calm(event.who) => Some((event.who, from)),
        _ => None,
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    pairs.dedup();
    let streams = pairs.into_iter().map(|(who, from)| arrivals(who, from));
    streams.max_by_key(Vec::len).expect("somebody stayed and was told everything")
}

#[test]
fn the_good_history_is_good() {
    let history = good();
    assert_eq!(broken(&history), Vec::<&str>::new());
    assert!(stream(&history).len() > 10);
    assert!(!places(&history, |event| matches!(event.what, What::Fault { .. })).is_empty());
}

#[test]
fn a_history_survives_its_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    good().write(file.path()).unwrap();
    assert_eq!(History::read(file.path()).unwrap(), good());
}

#[test]
fn an_arrival_that_is_taken_out_is_lost_and_a_gap() {
    let mut history = good();
    let stream = stream(&history);
    history.events.remove(stream[stream.len() / 2]);
    assert_eq!(broken(&history), ["exactly_once", "no_silent_gap"]);
}

#[test]
fn a_last_arrival_that_is_taken_out_is_lost() {
    let mut history = good();
    let last = *stream(&history).last().unwrap();
    history.events.remove(last);
    assert_eq!(broken(&history), ["exactly_once"]);
}

#[test]
fn an_arrival_that_is_doubled_at_another_place_breaks_once_and_order() {
    let mut history = good();
    let last = *stream(&history).last().unwrap();
    let mut again = history.events[last].clone();
    if let What::Received { seq, .. } = &mut again.what {
        *seq += 1;
    }
    history.events.insert(last + 1, again);
    assert_eq!(broken(&history), ["order", "exactly_once"]);
}

#[test]
fn two_arrivals_that_change_places_are_out_of_order() {
    let mut history = good();
    let stream = stream(&history);
    let (one, other) = (stream[stream.len() / 2], stream[stream.len() / 2 + 1]);
    let first = history.events[one].what.clone();
    history.events[one].what = history.events[other].what.clone();
    history.events[other].what = first;
    assert_eq!(broken(&history), ["order"]);
}

#[test]
fn a_snapshot_that_claims_to_be_a_replay_is_a_silent_gap() {
    let mut history = good();
    // Take out what one receiver was told in the middle, and have it return there: excused.
    let stream = stream(&history);
    let middle = stream[stream.len() / 2];
    let Event { at, who, what } = history.events[middle].clone();
    let What::Received { seq, .. } = what else { panic!("a stream holds arrivals") };
    let own = |event: &Event| event.who == who && matches!(event.what, What::Joined(_));
    let join = places(&history, own)[0];
    let What::Joined(joined) = &history.events[join].what else { panic!("it is a join") };
    let mut back = joined.clone();
    (back.seq, back.recovery, back.roster) = (seq, Recovery::Snapshot, None);
    history.events[middle] = Event { at, who, what: What::Joined(back.clone()) };
    assert_eq!(broken(&history), Vec::<&str>::new());
    back.recovery = Recovery::Replay;
    history.events[middle].what = What::Joined(back);
    assert_eq!(broken(&history), ["exactly_once", "no_silent_gap"]);
}

/// The first `new` join that was given somebody who is still told things later.
fn a_newcomer(history: &History) -> usize {
    let is_one = |event: &Event| match &event.what {
        What::Joined(joined) => {
            joined.recovery == Recovery::New
                && joined.roster.as_deref().is_some_and(|roster| !roster.is_empty())
        }
        _ => false,
    };
    places(history, is_one)[0]
}

#[test]
fn a_newcomer_not_given_the_others_has_no_offerer() {
    let mut history = good();
    let join = a_newcomer(&history);
    if let What::Joined(joined) = &mut history.events[join].what {
        joined.roster = Some(Box::new([]));
    }
    assert_eq!(broken(&history), ["one_offerer"]);
}

#[test]
fn two_members_given_each_other_are_two_offerers() {
    let mut history = good();
    let join = a_newcomer(&history);
    let What::Joined(joined) = &history.events[join].what else { panic!("it is a join") };
    let newer = Seen { peer: joined.peer, n: joined.n, polite: false, away: false };
    let older = joined.roster.as_deref().unwrap()[0].peer;
    for event in &mut history.events {
        if let What::Joined(joined) = &mut event.what
            && joined.peer == older
            && joined.recovery == Recovery::New
        {
            let roster = joined.roster.take().unwrap_or_default();
            joined.roster = Some(roster.iter().copied().chain([newer]).collect());
        }
    }
    assert_eq!(broken(&history), ["one_offerer"]);
}

#[test]
fn a_room_with_more_members_than_its_cap_is_found() {
    let mut history = good();
    history.settings.capacity -= 1;
    assert_eq!(broken(&history), ["capacity"]);
}

#[test]
fn a_ghost_in_a_roster_at_the_end_is_found() {
    let mut history = good();
    let ghost = Peer { client: 4_000, life: 0 };
    let report =
        *places(&history, |event| matches!(event.what, What::Roster { .. })).last().unwrap();
    if let What::Roster { peers } = &mut history.events[report].what {
        *peers = peers.iter().copied().chain([(ghost, true)]).collect();
    }
    assert_eq!(broken(&history), ["rosters_converge"]);
}

#[test]
fn a_member_never_told_that_another_is_gone_keeps_a_ghost() {
    let mut history = good();
    let gone =
        |event: &Event| matches!(event.what, What::PeerLeft { reason: LeaveReason::Timeout, .. });
    // Only an observer that kept its socket is never told in another way.
    let found = places(&history, gone).into_iter().find(|place| {
        let mut without = history.clone();
        without.events.remove(*place);
        broken(&without) == ["ghosts"]
    });
    assert!(found.is_some(), "no removal of a ghost can be taken out without being missed");
    history.events.remove(found.unwrap());
    assert_eq!(broken(&history), ["ghosts"]);
}

#[test]
fn a_member_that_is_removed_with_its_socket_open_is_found() {
    let mut history = good();
    let last = *stream(&history).last().unwrap();
    let Event { at, who, what } = history.events[last].clone();
    let What::Received { from: peer, .. } = what else { panic!("a stream holds arrivals") };
    // Just beyond all that was told to anybody, so that it contradicts nothing else.
    let told = history.events.iter().filter_map(|event| match event.what {
        What::Received { seq, .. } | What::Position { seq } => Some(seq),
        _ => None,
    });
    let seq = told.max().unwrap() + 1;
    let removed = What::PeerLeft { seq, peer, reason: LeaveReason::Timeout };
    let report =
        places(&history, |event| event.who == who && matches!(event.what, What::Roster { .. }));
    let place = report.first().copied().unwrap_or(last + 1);
    let at = history.events.get(place).map_or(at, |event| event.at);
    history.events.insert(place, Event { at, who, what: removed });
    assert_eq!(broken(&history), ["no_live_removed"]);
}

#[test]
fn a_lost_socket_that_is_told_as_a_leave_is_a_flap() {
    let mut history = good();
    let away = |event: &Event| matches!(event.what, What::PeerAway { away: true, .. });
    let found = places(&history, away).into_iter().any(|place| {
        let What::PeerAway { seq, peer, .. } = history.events[place].what else { return false };
        let kept = history.events[place].what.clone();
        history.events[place].what = What::PeerLeft { seq, peer, reason: LeaveReason::Left };
        let broken = broken(&history);
        history.events[place].what = kept;
        broken.contains(&"no_flap")
    });
    assert!(found, "no lost socket can be told as a leave without being found");
}

/// Appends something that the suite itself notes when all is quiet.
fn and_at_last(history: &mut History, what: What) {
    let at = history.events.last().expect("there are events").at;
    history.events.push(Event { at, who: SUITE, what });
}

#[test]
fn a_key_of_a_room_that_never_ends_is_found() {
    let mut history = good();
    let keys = ["nodes", "{7}:h"].map(Into::into).into();
    and_at_last(&mut history, What::EndlessKeys { keys });
    assert_eq!(broken(&history), ["keys_end"]);
}

#[test]
fn a_node_that_is_down_long_after_all_faults_is_found() {
    let mut history = good();
    let health = |up| What::Health { node: 0, up, ready: up, trouble: Box::default() };
    and_at_last(&mut history, health(true));
    history.events.last_mut().expect("it was added").at += 60_000_000;
    and_at_last(&mut history, health(false));
    assert_eq!(broken(&history), ["health_follows"]);
}
