//! All members of a room see its entries in the same order, and each sender's signals as sent.

use std::collections::HashMap;
use std::fmt;

use super::Violation;
use super::model::{Model, index};
use crate::history::{Event, Peer, Recovery, SUITE, What};

/// What stands at a place in a room's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Entry {
    Signal(Peer, u32),
    Joined(Peer),
    Away(Peer, bool),
    Left(Peer),
    Announcement(u32),
}

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let mut readers: HashMap<u32, Reader> = HashMap::new();
    let mut log = Log::default();
    for event in model.events.iter().filter(|event| event.who != SUITE) {
        readers.entry(event.who).or_default().read(event, &mut log);
    }
    log.violations.extend(log.excusable.into_iter().filter_map(|(from, number, violation)| {
        // With lost data a signal that was not settled may stand in the old log and in the new one, and come
        // again to who has become a new member, or was sent a snapshot, in between.
        let sent = model.sent.get(&from.client).and_then(|sent| sent.get(index(number)));
        (!sent.is_some_and(|sent| sent.reset)).then_some(violation)
    }));
    log.violations
}

/// The logs of all rooms as pieced together.
#[derive(Default)]
struct Log {
    at: HashMap<(u32, u64), Entry>,
    signals: HashMap<(Peer, u32), u64>,
    /// What only a loss of data excuses, with the signal it is about.
    excusable: Vec<(Peer, u32, Violation)>,
    violations: Vec<Violation>,
}

impl Log {
    /// Enters what somebody was told of a place, which must be what the others were told.
    fn enter(&mut self, room: u32, seq: u64, entry: Entry, event: &Event) {
        let known = *self.at.entry((room, seq)).or_insert(entry);
        if known != entry {
            self.fault(event, format_args!("room {room} has {known:?} and {entry:?} at seq {seq}"));
        }
        if let Entry::Signal(from, number) = entry {
            let known = *self.signals.entry((from, number)).or_insert(seq);
            if known != seq {
                let what =
                    format!("client {}: {entry:?} lies at seq {known} and at seq {seq}", event.who);
                self.excuse((from, number), Violation::new(event.at, what));
            }
        }
    }

    fn excuse(&mut self, (from, number): (Peer, u32), violation: Violation) {
        self.excusable.push((from, number, violation));
    }

    fn fault(&mut self, event: &Event, what: impl fmt::Display) {
        self.violations.push(Violation::new(event.at, format!("client {}: {what}", event.who)));
    }
}

/// Follows what one client was told.
#[derive(Default)]
struct Reader {
    room: u32,
    position: u64,
    numbers: HashMap<Peer, u32>,
    /// What it was told last before it joined as a new member, or without what it had missed: a loss may lie in between.
    before: HashMap<Peer, u32>,
}

impl Reader {
    fn read(&mut self, event: &Event, log: &mut Log) {
        match &event.what {
            What::Joined(joined) => {
                self.room = joined.room;
                self.position = joined.seq;
                if joined.recovery != Recovery::Replay {
                    self.before.extend(self.numbers.drain());
                }
            }
            What::Reset { seq, .. } => {
                self.position = *seq;
                self.numbers.clear();
            }
            What::Received { from, number, seq, .. } => {
                self.advance(*seq, event, log);
                log.enter(self.room, *seq, Entry::Signal(*from, *number), event);
                self.follows(*from, *number, event, log);
            }
            What::AnnouncementReceived { number, seq } => {
                self.advance(*seq, event, log);
                log.enter(self.room, *seq, Entry::Announcement(*number), event);
            }
            What::PeerJoined { seq, seen } => {
                self.advance(*seq, event, log);
                log.enter(self.room, *seq, Entry::Joined(seen.peer), event);
            }
            What::PeerAway { seq, peer, away } => {
                self.advance(*seq, event, log);
                log.enter(self.room, *seq, Entry::Away(*peer, *away), event);
            }
            What::PeerLeft { seq, peer, .. } => {
                self.advance(*seq, event, log);
                log.enter(self.room, *seq, Entry::Left(*peer), event);
            }
            _ => {}
        }
    }

    fn advance(&mut self, seq: u64, event: &Event, log: &mut Log) {
        if seq <= self.position {
            log.fault(event, format_args!("was told of seq {seq} after seq {}", self.position));
        }
        self.position = self.position.max(seq);
    }

    fn follows(&mut self, from: Peer, number: u32, event: &Event, log: &mut Log) {
        let last = self.numbers.insert(from, number).unwrap_or_default();
        let what = |last| format!("was told signal {number} of {from} after signal {last}");
        // The same number again is a matter of `exactly_once`.
        if number < last {
            return log.fault(event, what(last));
        }
        if let Some(last) = self.before.get(&from).copied().filter(|last| number < *last) {
            let what = format!("client {}: {}", event.who, what(last));
            log.excuse((from, number), Violation::new(event.at, what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, CY, HistoryBuilder, found};

    #[test]
    fn two_members_told_the_same_are_fine() {
        let story = HistoryBuilder::three().signal(ANA, None, 10, &[BO, CY]).signal(
            BO,
            None,
            11,
            &[ANA, CY],
        );
        assert_eq!(found(check, story), 0);
    }

    #[test]
    fn twin_two_members_that_see_two_signals_in_different_order_are_found() {
        let said = HistoryBuilder::three()
            .unacknowledged_signal(ANA, None)
            .unacknowledged_signal(BO, None);
        let story =
            said.hear(BO, ANA, 1, 10).hear(CY, ANA, 1, 11).hear(ANA, BO, 1, 11).hear(CY, BO, 1, 12);
        assert!(found(check, story) > 0);
    }

    #[test]
    fn twin_a_sender_whose_signals_arrive_reversed_is_found() {
        let said = HistoryBuilder::three()
            .unacknowledged_signal(ANA, None)
            .unacknowledged_signal(ANA, None);
        assert_eq!(found(check, said.hear(BO, ANA, 2, 10).hear(BO, ANA, 1, 11)), 1);
    }

    #[test]
    fn twin_an_older_signal_that_comes_to_a_member_that_joined_anew_is_found() {
        let said = HistoryBuilder::three()
            .unacknowledged_signal(ANA, None)
            .unacknowledged_signal(ANA, None);
        let again = said.hear(BO, ANA, 2, 10).join(BO, 11, 4, &[]);
        assert_eq!(found(check, again.hear(BO, ANA, 1, 12)), 1);
    }

    #[test]
    fn a_loss_of_data_excuses_an_older_signal_that_comes_to_a_member_that_joined_anew() {
        let said = HistoryBuilder::three()
            .unacknowledged_signal(ANA, None)
            .unacknowledged_signal(ANA, None);
        let lost = said.hear(BO, ANA, 2, 10).reset(ANA, 11).join(BO, 12, 4, &[]);
        assert_eq!(found(check, lost.hear(BO, ANA, 1, 13)), 0);
    }

    #[test]
    fn a_loss_of_data_excuses_an_older_signal_that_comes_after_a_snapshot_and_nothing_else_does() {
        let said = || {
            let story = HistoryBuilder::three().unacknowledged_signal(ANA, None);
            story.unacknowledged_signal(ANA, None).hear(BO, ANA, 2, 10)
        };
        let lost = said().reset(ANA, 11).snapshot(BO, 12).hear(BO, ANA, 1, 13);
        assert_eq!(found(check, lost), 0);
        assert_eq!(found(check, said().snapshot(BO, 12).hear(BO, ANA, 1, 13)), 1);
    }

    #[test]
    fn twin_a_member_taken_back_in_the_log_is_found() {
        let said = HistoryBuilder::three()
            .unacknowledged_signal(ANA, None)
            .unacknowledged_signal(CY, None);
        assert_eq!(found(check, said.hear(BO, ANA, 1, 11).hear(BO, CY, 1, 10)), 1);
    }
}
