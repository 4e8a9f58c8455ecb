//! An announcement that was answered reaches every member once: those that were told the stretch of the log in which it lies.

use std::collections::{HashMap, HashSet};

use super::Violation;
use super::faults::faults;
use super::model::Model;
use crate::history::{SUITE, What};

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let received = received(model);
    let mut violations = lost(model, &received);
    violations.extend(doubled(model));
    violations
}

/// Which client received which announcement.
fn received(model: &Model<'_>) -> HashSet<(u32, u32)> {
    let received = model.events.iter().filter_map(|event| match event.what {
        What::AnnouncementReceived { number, .. } => Some((event.who, number)),
        _ => None,
    });
    received.collect()
}

fn lost(model: &Model<'_>, received: &HashSet<(u32, u32)>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for event in model.events.iter().filter(|event| event.who == SUITE) {
        let What::Announced { number, room, seq } = event.what else { continue };
        let told = model.memberships.iter().filter(|it| it.room == room && it.covers(seq, seq));
        for member in told.filter(|it| !received.contains(&(it.peer.client, number))) {
            let what = format!(
                "{} never got announcement {number}, at seq {seq} of room {room}",
                member.peer
            );
            violations.push(Violation::new(event.at, what));
        }
    }
    violations
}

/// Announcements that came twice. With its key, lost data takes away what tells a repeated one from the first.
fn doubled(model: &Model<'_>) -> Vec<Violation> {
    let losses: Vec<_> = faults(model).into_iter().filter(|it| it.kind.loses_data()).collect();
    let mut asked: HashMap<u32, u64> = HashMap::new();
    let mut first = HashSet::new();
    let mut violations = Vec::new();
    for event in model.events {
        match event.what {
            What::Announcing { number } => {
                asked.insert(number, event.at);
            }
            What::AnnouncementReceived { number, seq } if !first.insert((event.who, number)) => {
                let since = asked.get(&number).copied().unwrap_or_default();
                if !losses.iter().any(|loss| loss.from <= event.at && loss.to >= since) {
                    let what = format!(
                        "client {} got announcement {number} again, at seq {seq}",
                        event.who
                    );
                    violations.push(Violation::new(event.at, what));
                }
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, CY, HistoryBuilder, found};
    use crate::history::FaultKind;

    #[test]
    fn an_announcement_that_everyone_gets_once_is_fine() {
        let story = HistoryBuilder::three().announce(1, 10, &[ANA, BO, CY]);
        assert_eq!(found(check, story.signal(ANA, None, 11, &[BO, CY])), 0);
    }

    #[test]
    fn twin_one_that_a_member_does_not_get_is_found() {
        let story = HistoryBuilder::three().announce(1, 10, &[ANA, CY]);
        assert_eq!(found(check, story.signal(ANA, None, 11, &[BO, CY])), 1);
    }

    #[test]
    fn twin_one_that_comes_twice_is_found_unless_its_key_was_lost() {
        let twice = |story: HistoryBuilder| story.announce(1, 10, &[ANA, BO, CY, BO]);
        assert_eq!(found(check, twice(HistoryBuilder::three())), 1);
        assert_eq!(found(check, twice(HistoryBuilder::three().fault(FaultKind::LoseKeys))), 0);
    }
}
