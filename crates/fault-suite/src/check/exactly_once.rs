//! An acknowledged signal reaches everyone it is for exactly once; any other at most once.
//!
//! Who must have got it: members that were told the whole stretch of the log in which it lies. If
//! nobody was told its place, it lies between its neighbours from the same sender and above what
//! the sender had seen, and only members that were told all of that stretch are asked for it: in
//! doubt the cluster is believed.

use std::collections::HashSet;

use super::Violation;
use super::model::{Membership, Model, Sent, SignalOutcome};
use crate::history::Peer;

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut arrived = HashSet::with_capacity(model.received.len());
    for received in &model.received {
        let (by, from, number) = (received.by, received.from, received.number);
        let sent =
            model.sent.get(&from.client).and_then(|sent| sent.get(super::model::index(number)));
        let known = sent.is_some_and(|sent| sent.from == from);
        if !known {
            let what = format!("{by} got signal {number} of {from}, which never sent it");
            violations.push(Violation::new(received.at, what));
        } else if !arrived.insert((by, from.client, number)) && !sent.is_some_and(|sent| sent.reset)
        {
            let what = format!("{by} got signal {number} of {from} again, at seq {}", received.seq);
            violations.push(Violation::new(received.at, what));
        }
    }
    for members in model.rooms() {
        let senders: HashSet<u32> = members.iter().map(|member| member.peer.client).collect();
        for client in senders {
            lost(model, client, members, &arrived, &mut violations);
        }
    }
    violations
}

/// Finds the acknowledged signals of a client that somebody of its room did not get.
fn lost(
    model: &Model<'_>,
    client: u32,
    members: &[Membership],
    arrived: &HashSet<(Peer, u32, u32)>,
    violations: &mut Vec<Violation>,
) {
    let sent = model.sent.get(&client).map_or(&[][..], Vec::as_slice);
    for (number, sent, (first, last)) in
        (1..).zip(sent).zip(places(sent)).map(|((a, b), c)| (a, b, c))
    {
        let SignalOutcome::Settled(acknowledged) = sent.fate else { continue };
        if sent.reset {
            continue;
        }
        let asked = members.iter().filter(|member| {
            let addressed = sent.to.map_or(member.peer != sent.from, |to| to == member.peer);
            addressed && member.room == sent.room && member.covers(first, last)
        });
        for member in asked.filter(|member| !arrived.contains(&(member.peer, client, number))) {
            let whom = if sent.to.is_some() { "addressed to it" } else { "to all" };
            let what = format!(
                "{} never got signal {number} of {}, {whom}, sent at {:.6} s and acknowledged; it \
                 lies within seq {first}..={last}",
                member.peer,
                sent.from,
                seconds(sent.at)
            );
            violations.push(Violation::new(acknowledged, what));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a run lasts minutes")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// For each signal of a client the first and last place in the log at which it may lie.
fn places(sent: &[Sent]) -> Vec<(u64, u64)> {
    let mut places = vec![(0, u64::MAX); sent.len()];
    let mut after = None;
    for (place, sent) in places.iter_mut().zip(sent) {
        // Another life is another member: the places of its signals say nothing about these.
        let before = after.filter(|(from, _)| *from == sent.from).map_or(0, |(_, seq)| seq);
        let before = before.max(sent.after);
        place.0 = sent.seq.unwrap_or(before + 1);
        after = Some((sent.from, sent.seq.unwrap_or(before)));
    }
    let mut until = None;
    for (place, sent) in places.iter_mut().zip(sent).rev() {
        let next = until.filter(|(from, _)| *from == sent.from).map_or(u64::MAX, |(_, seq)| seq);
        place.1 = sent.seq.unwrap_or(if next == u64::MAX { next } else { next - 1 });
        until = Some((sent.from, sent.seq.unwrap_or(next)));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, CY, HistoryBuilder};

    fn found(story: HistoryBuilder) -> Vec<String> {
        let history = story.end();
        check(&Model::new(&history)).into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn a_signal_that_everyone_got_once_is_fine() {
        let story = HistoryBuilder::three().signal(ANA, None, 10, &[BO, CY]).signal(
            ANA,
            Some(BO),
            11,
            &[BO],
        );
        assert_eq!(found(story), Vec::<String>::new());
    }

    #[test]
    fn twin_a_signal_that_one_of_two_did_not_get_is_found() {
        let found = found(HistoryBuilder::three().signal(ANA, None, 10, &[BO]).signal(
            ANA,
            None,
            11,
            &[BO, CY],
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("2.0 never got signal 1 of 0.0, to all"), "{found:?}");
    }

    #[test]
    fn twin_an_acknowledged_signal_that_nobody_got_is_found() {
        assert_eq!(found(HistoryBuilder::three().signal(ANA, Some(BO), 10, &[])).len(), 1);
    }

    #[test]
    fn twin_a_signal_that_arrives_twice_is_found() {
        let found =
            found(HistoryBuilder::three().signal(ANA, Some(BO), 10, &[BO]).hear(BO, ANA, 1, 12));
        assert_eq!(found, ["1.0 got signal 1 of 0.0 again, at seq 12"]);
    }

    #[test]
    fn twin_a_signal_that_nobody_sent_is_found() {
        assert_eq!(found(HistoryBuilder::three().hear(BO, ANA, 1, 12)).len(), 1);
    }

    #[test]
    fn what_a_snapshot_stands_for_may_be_missing() {
        let story = HistoryBuilder::three().signal(ANA, None, 10, &[CY]).snapshot(BO, 11).signal(
            ANA,
            None,
            12,
            &[BO, CY],
        );
        assert_eq!(found(story), Vec::<String>::new());
    }

    #[test]
    fn what_was_not_acknowledged_may_be_missing() {
        assert_eq!(
            found(HistoryBuilder::three().unacknowledged_signal(ANA, None)),
            Vec::<String>::new()
        );
    }
}
