//! What became of the signals and the members of calls between two, counted without any allowance for faults.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use crate::history::{Event, History, Peer, What};

/// Counts and times of a run; times are in milliseconds.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallFigures {
    pub signals: u64,
    /// Signals that never arrived at the other member.
    pub lost: u64,
    /// Arrivals of a signal that had arrived before.
    pub doubled: u64,
    /// Arrivals of a signal behind a later one of the same sender.
    pub reordered: u64,
    /// Members that the others were told had left, though none leaves.
    pub members_lost: u64,
    /// Members that were asked to move to another node.
    pub moved: u64,
    /// Memberships that were without a socket for a time.
    pub cut: u64,
    pub failed_dials: u64,
    /// The longest time that a membership was without a socket.
    pub slowest_back: u64,
    /// The longest time from sending to arrival.
    pub worst_delay: u64,
}

/// What is known of the signals and members up to an event.
#[derive(Default)]
struct Seen {
    sent: HashMap<(u32, u32), u64>,
    arrived: BTreeSet<(u32, u32)>,
    /// The last signal that arrived from each sender.
    last: HashMap<u32, u32>,
    cut_since: HashMap<u32, u64>,
    gone: BTreeSet<(u32, u32)>,
    figures: CallFigures,
}

impl CallFigures {
    /// Counts what a history of rooms of two holds.
    #[must_use]
    pub fn new(history: &History, failed_dials: u64) -> Self {
        let mut seen = Seen::default();
        for event in &history.events {
            seen.event(event);
        }
        let end = history.events.last().map_or(0, |event| event.at);
        for since in seen.cut_since.values() {
            seen.figures.slowest_back = seen.figures.slowest_back.max(millis(end - since));
        }
        let lost = seen.sent.keys().filter(|signal| !seen.arrived.contains(signal)).count() as u64;
        Self { lost, failed_dials, members_lost: seen.gone.len() as u64, ..seen.figures }
    }
}

impl Seen {
    fn event(&mut self, event: &Event) {
        match &event.what {
            What::Sent { number, .. } => {
                self.figures.signals += 1;
                self.sent.insert((event.who, *number), event.at);
            }
            What::Refused { number } => {
                self.sent.remove(&(event.who, *number));
            }
            What::Received { from, number, .. } => self.arrived(*from, *number, event.at),
            What::GoAway => self.figures.moved += 1,
            What::Closed { .. } => {
                self.figures.cut += 1;
                self.cut_since.insert(event.who, event.at);
            }
            What::Joined(_) => self.back(event.who, event.at),
            What::PeerLeft { peer, .. } => {
                self.gone.insert((peer.client, peer.life));
            }
            _ => {}
        }
    }

    fn arrived(&mut self, from: Peer, number: u32, at: u64) {
        if !self.arrived.insert((from.client, number)) {
            self.figures.doubled += 1;
            return;
        }
        let last = self.last.entry(from.client).or_default();
        self.figures.reordered += u64::from(number < *last);
        *last = (*last).max(number);
        let sent = self.sent.get(&(from.client, number)).copied().unwrap_or(at);
        self.figures.worst_delay = self.figures.worst_delay.max(millis(at - sent));
    }

    fn back(&mut self, who: u32, at: u64) {
        if let Some(since) = self.cut_since.remove(&who) {
            self.figures.slowest_back = self.figures.slowest_back.max(millis(at - since));
        }
    }
}

fn millis(micros: u64) -> u64 {
    micros / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{LeaveReason, RunSettings};

    fn history(events: Vec<(u64, u32, What)>) -> History {
        let settings = RunSettings {
            scenario: "calls".to_owned(),
            seed: 0,
            capacity: 64,
            lease: 0,
            grace: 0,
            ping: 0,
        };
        let events = events.into_iter().map(|(at, who, what)| Event { at, who, what });
        History { settings, events: events.collect() }
    }

    fn sent(number: u32) -> What {
        What::Sent { number, to: None }
    }

    fn received(number: u32) -> What {
        let from = Peer { client: 0, life: 0 };
        What::Received { from, number, seq: u64::from(number), to_me: false }
    }

    #[test]
    fn a_signal_that_is_lost_doubled_late_or_out_of_order_is_counted() {
        let figures = CallFigures::new(
            &history(vec![
                (1_000, 0, sent(1)),
                (2_000, 0, sent(2)),
                (3_000, 0, sent(3)),
                (4_000, 1, received(3)),
                (9_000, 1, received(2)),
                (9_500, 1, received(2)),
            ]),
            4,
        );
        let worst = CallFigures {
            signals: 3,
            lost: 1,
            doubled: 1,
            reordered: 1,
            failed_dials: 4,
            worst_delay: 7,
            ..CallFigures::default()
        };
        assert_eq!(figures, worst);
    }

    #[test]
    fn a_member_is_back_with_its_join_and_lost_when_others_see_it_leave() {
        let gone = Peer { client: 0, life: 0 };
        let left = What::PeerLeft { seq: 9, peer: gone, reason: LeaveReason::Timeout };
        let figures = CallFigures::new(
            &history(vec![
                (0, 0, What::GoAway),
                (10_000, 0, What::Closed { code: 1006 }),
                (50_000, 1, left),
            ]),
            0,
        );
        let expected = CallFigures {
            moved: 1,
            cut: 1,
            members_lost: 1,
            slowest_back: 40,
            ..CallFigures::default()
        };
        assert_eq!(figures, expected);
    }
}
