//! Of any two members exactly one had the other in the `peers` of its `new` join, and exactly one
//! is polite.

use super::Violation;
use super::model::{Membership, Model};

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for members in model.rooms() {
        for (index, older) in members.iter().enumerate() {
            for newer in &members[index + 1..] {
                pair(older, newer, &mut violations);
            }
        }
    }
    violations
}

fn pair(older: &Membership, newer: &Membership, violations: &mut Vec<Violation>) {
    // With lost data the numbers of joins may begin anew: the promise ends there. And who comes
    // again under the same key is no pair with itself.
    if older.reset || newer.reset || older.peer == newer.peer {
        return;
    }
    let (Some(earlier), Some(later)) = (&older.roster, &newer.roster) else { return };
    let mut fault = |what: String| violations.push(Violation::new(newer.joined_at, what));
    let (a, b) = (older.peer, newer.peer);
    // `older` certainly was a member still: it was told of something at or beyond that place. An answer
    // that was repeated gives those who are there when it is repeated.
    let left = older.left_at.is_some_and(|at| at <= newer.joined_at);
    let together = older.last_seq() >= newer.joined_seq && !left;
    let offers = later.iter().find(|seen| seen.peer == a);
    if together && offers.is_none() {
        fault(format!(
            "{b} joined at seq {} and was not given {a}: nobody offers",
            newer.joined_seq
        ));
    }
    // An entry with a smaller `n` is an earlier membership under the same key.
    let given = earlier.iter().any(|seen| seen.peer == b && seen.n >= older.n);
    if given {
        fault(format!("{a} was given {b}, which joined later: both offer"));
    }
    if let Some(seen) = offers.filter(|_| together) {
        if seen.n != older.n || newer.n <= older.n {
            fault(format!("{b} has n {} and sees {a} with n {}, not {}", newer.n, seen.n, older.n));
        }
        if !seen.polite {
            fault(format!("{b} came after {a} and is not the polite side"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, HistoryBuilder, found, seen};

    #[test]
    fn a_newcomer_given_the_other_offers() {
        let story =
            HistoryBuilder::empty().join(ANA, 1, 1, &[]).join(BO, 2, 2, &[seen(ANA, 1, true)]);
        assert_eq!(found(check, story.signal(BO, None, 3, &[ANA])), 0);
    }

    #[test]
    fn twin_two_members_given_each_other_are_found() {
        let story = HistoryBuilder::empty().join(ANA, 1, 1, &[seen(BO, 2, false)]).join(
            BO,
            2,
            2,
            &[seen(ANA, 1, true)],
        );
        assert_eq!(found(check, story.signal(BO, None, 3, &[ANA])), 1);
    }

    #[test]
    fn twin_two_members_not_given_each_other_are_found() {
        let story = HistoryBuilder::empty().join(ANA, 1, 1, &[]).join(BO, 2, 2, &[]);
        assert_eq!(found(check, story.signal(BO, None, 3, &[ANA])), 1);
    }

    #[test]
    fn twin_two_impolite_sides_are_found() {
        let story =
            HistoryBuilder::empty().join(ANA, 1, 1, &[]).join(BO, 2, 2, &[seen(ANA, 1, false)]);
        assert_eq!(found(check, story.signal(BO, None, 3, &[ANA])), 1);
    }

    #[test]
    fn a_member_that_had_left_need_not_be_given() {
        let story = HistoryBuilder::empty().join(ANA, 1, 1, &[]).leave(ANA).join(BO, 2, 2, &[]);
        assert_eq!(found(check, story), 0);
    }
}
