//! A member that misses signals between two of the same sender was sent `snapshot` or `reset`.

use std::collections::HashMap;

use super::Violation;
use super::model::{Membership, Model, Received, SignalOutcome, index};
use crate::history::Peer;

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let mut streams: HashMap<(Peer, Peer), Vec<&Received>> = HashMap::new();
    for received in &model.received {
        streams.entry((received.by, received.from)).or_default().push(received);
    }
    let memberships = model.by_peer();
    let mut violations = Vec::new();
    for ((by, from), mut stream) in streams {
        stream.sort_by_key(|received| received.number);
        let members = memberships.get(&by).map_or(&[][..], Vec::as_slice);
        for pair in stream.windows(2) {
            if is_one_stretch(members, pair[0].seq, pair[1].seq) {
                holes(model, by, from, pair, &mut violations);
            }
        }
    }
    violations
}

/// Whether a member was told nothing like `snapshot` or `reset` between two places of the log.
fn is_one_stretch(members: &[&Membership], one: u64, other: u64) -> bool {
    members.iter().any(|member| member.covers(one, other))
}

fn holes(
    model: &Model<'_>,
    by: Peer,
    from: Peer,
    pair: &[&Received],
    violations: &mut Vec<Violation>,
) {
    let Some(sent) = model.sent.get(&from.client) else { return };
    for number in pair[0].number + 1..pair[1].number {
        let Some(sent) = sent.get(index(number)) else { return };
        let taken = matches!(sent.fate, SignalOutcome::Settled(_)) && sent.from == from;
        if taken && sent.to.is_none_or(|to| to == by) {
            let (before, after) = (pair[0], pair[1]);
            let what = format!(
                "{by} was told signals {} and {} of {from} (seq {} and {}), not {number} between \
                 them, and of no gap",
                before.number, after.number, before.seq, after.seq
            );
            violations.push(Violation::new(after.at, what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, CY, HistoryBuilder, found};

    fn gap(story: HistoryBuilder) -> HistoryBuilder {
        story.signal(ANA, None, 10, &[BO, CY]).signal(ANA, None, 11, &[CY])
    }

    #[test]
    fn twin_a_hole_between_two_signals_is_found() {
        assert_eq!(found(check, gap(HistoryBuilder::three()).signal(ANA, None, 12, &[BO, CY])), 1);
    }

    #[test]
    fn twin_a_replay_that_leaves_something_out_is_found() {
        assert_eq!(
            found(
                check,
                gap(HistoryBuilder::three()).replay(BO, 11).signal(ANA, None, 12, &[BO, CY])
            ),
            1
        );
    }

    #[test]
    fn a_gap_that_is_told_by_snapshot_or_reset_is_no_silent_one() {
        let told = gap(HistoryBuilder::three()).snapshot(BO, 11);
        assert_eq!(found(check, told.signal(ANA, None, 12, &[BO, CY])), 0);
        let told = gap(HistoryBuilder::three()).reset(BO, 11);
        assert_eq!(found(check, told.signal(ANA, None, 12, &[BO, CY])), 0);
    }

    #[test]
    fn what_was_addressed_to_somebody_else_is_no_hole() {
        let story = HistoryBuilder::three().signal(ANA, None, 10, &[BO, CY]).signal(
            ANA,
            Some(CY),
            11,
            &[CY],
        );
        assert_eq!(found(check, story.signal(ANA, None, 12, &[BO, CY])), 0);
    }
}
