//! The signals of a member in its room: numbered, and held until the log has settled them.
//!
//! The log takes the count that follows the last one, acknowledges cumulatively and rejects what is out of order
//! (docs/PROTOCOL.md, section 5). One that was rejected for now is sent again after a pause, with all behind it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use signal_protocol::limits;

use crate::dialect::RETRY_AFTER;
use crate::frame::SignalRefusal;

/// Signals that may be sent and not settled.
const WINDOW: usize = 256;

const _: () = assert!(WINDOW as u64 == limits::UNACKED);

/// Signals that may be held.
const HELD: usize = 1_024;

/// The signals of one membership.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    held: VecDeque<Held>,
    /// How many of them were sent.
    sent: usize,
    /// The highest settled count.
    settled: u64,
    /// Whether the member is in the room: nothing is sent before.
    is_open: bool,
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    data: Box<RawValue>,
    /// Refused for good: its count stays in use until all before it are settled.
    is_refused: bool,
}

impl Signals {
    /// Takes a signal; `false`: too many are held.
    pub(crate) fn push(&mut self, data: Box<RawValue>) -> bool {
        let has_room = self.held.len() < HELD;
        if has_room {
            self.held.push_back(Held { data, is_refused: false });
        }
        has_room
    }

    /// Takes what another node has held of them, and the count that was settled there.
    pub(crate) fn import(&mut self, settled: u64, held: Vec<Box<RawValue>>) {
        (self.settled, self.is_open) = (settled, true);
        // None is sent before the member has joined here, since all of them count as sent.
        self.sent = held.len();
        self.held = held.into_iter().map(|data| Held { data, is_refused: false }).collect();
    }

    /// Returns the count that is settled, and what is held behind it.
    pub(crate) fn export(&self) -> (u64, Vec<Box<RawValue>>) {
        (self.settled, self.held.iter().map(|held| held.data.clone()).collect())
    }

    /// Begins behind the last settled count, when the member has joined or the log was lost.
    pub(crate) fn open(&mut self, settled: u64) {
        // Before the first time nothing was sent.
        if self.is_open {
            self.settle(settled);
        }
        (self.settled, self.sent, self.is_open, self.paused_until) = (settled, 0, true, None);
    }

    /// Takes what is to be sent now, with its counts.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(u64, Box<RawValue>)> {
        if !self.is_open || self.paused_until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        self.paused_until = None;
        let end = self.held.len().min(WINDOW);
        let range = self.sent.min(end)..end;
        let first = self.settled + 1 + range.start as u64;
        self.sent = self.sent.max(end);
        (first..).zip(self.held.range(range)).map(|(mid, held)| (mid, held.data.clone())).collect()
    }

    /// Settles everything up to a count.
    pub(crate) fn settle(&mut self, mid: u64) {
        let settled = usize::try_from(mid.saturating_sub(self.settled)).unwrap_or(usize::MAX);
        self.drop_first(settled.min(self.held.len()));
    }

    /// Applies that a signal was refused.
    pub(crate) fn refuse(&mut self, mid: u64, refusal: SignalRefusal, now: Instant) {
        match refusal {
            SignalRefusal::Final => {
                if let Some(held) = self.place(mid).and_then(|place| self.held.get_mut(place)) {
                    held.is_refused = true;
                }
                let leading = self.held.iter().take_while(|held| held.is_refused).count();
                self.drop_first(leading);
            }
            SignalRefusal::Retry { after, expected } => {
                let place = self.place(expected.unwrap_or(mid)).unwrap_or_default();
                // One that was not sent since is old news.
                if place < self.sent {
                    self.sent = place;
                    let after = after.map_or(RETRY_AFTER, Duration::from_millis);
                    self.paused_until = self.paused_until.max(Some(now + after));
                }
            }
        }
    }

    /// Returns when [`Signals::due`] has something by the passing of time.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.paused_until.filter(|_| self.is_open && !self.held.is_empty())
    }

    fn place(&self, mid: u64) -> Option<usize> {
        usize::try_from(mid.checked_sub(self.settled + 1)?).ok()
    }

    fn drop_first(&mut self, count: usize) {
        self.held.drain(..count);
        self.settled += count as u64;
        self.sent = self.sent.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    fn holding(count: u32) -> Signals {
        let mut signals = Signals::default();
        for number in 1..=count {
            assert!(signals.push(to_raw_value(&number).unwrap()));
        }
        signals
    }

    fn due(signals: &mut Signals, now: Instant) -> Vec<(u64, String)> {
        signals.due(now).into_iter().map(|(mid, data)| (mid, data.get().to_owned())).collect()
    }

    fn mids(signals: &mut Signals, now: Instant) -> Vec<u64> {
        due(signals, now).into_iter().map(|(mid, _)| mid).collect()
    }

    const RETRY: SignalRefusal = SignalRefusal::Retry { after: None, expected: None };

    #[test]
    fn nothing_is_sent_before_the_member_is_in_and_the_counts_go_on_from_there() {
        let (mut signals, now) = (holding(2), Instant::now());
        assert!(mids(&mut signals, now).is_empty());
        signals.open(7);
        assert_eq!(due(&mut signals, now), [(8, "1".to_owned()), (9, "2".to_owned())]);
        assert!(mids(&mut signals, now).is_empty());
    }

    #[test]
    fn what_was_rejected_for_now_is_sent_again_with_all_behind_it_and_once() {
        let (mut signals, now) = (holding(4), Instant::now());
        signals.open(0);
        assert_eq!(mids(&mut signals, now), [1, 2, 3, 4]);
        signals.settle(1);
        signals.refuse(2, RETRY, now);
        for late in [3, 4] {
            signals.refuse(late, SignalRefusal::Retry { after: None, expected: Some(2) }, now);
        }
        assert!(mids(&mut signals, now).is_empty());
        assert_eq!(signals.next_retry(), Some(now + RETRY_AFTER));
        assert_eq!(mids(&mut signals, now + RETRY_AFTER), [2, 3, 4]);
        signals.settle(4);
        assert_eq!(signals.next_retry(), None);
    }

    #[test]
    fn one_that_is_refused_for_good_uses_its_count_up() {
        let (mut signals, now) = (holding(3), Instant::now());
        signals.open(0);
        mids(&mut signals, now);
        signals.refuse(2, SignalRefusal::Final, now);
        signals.refuse(1, RETRY, now);
        let later = now + RETRY_AFTER;
        assert_eq!(mids(&mut signals, later), [1, 2, 3]);
        signals.settle(1);
        signals.refuse(2, SignalRefusal::Final, later);
        signals.refuse(3, RETRY, later);
        let again = due(&mut signals, later + RETRY_AFTER);
        assert_eq!(again, [(3, "3".to_owned())]);
    }

    #[test]
    fn after_a_loss_of_the_log_the_rest_is_numbered_anew() {
        let (mut signals, now) = (holding(3), Instant::now());
        signals.open(5);
        mids(&mut signals, now);
        signals.settle(6);
        signals.open(2);
        assert_eq!(due(&mut signals, now), [(3, "2".to_owned()), (4, "3".to_owned())]);
    }

    #[test]
    fn no_more_than_the_window_is_unsettled_and_no_more_than_a_bound_is_held() {
        let (mut signals, now) = (holding(1_024), Instant::now());
        signals.open(0);
        assert!(!signals.push(to_raw_value(&0).unwrap()));
        assert_eq!(mids(&mut signals, now).len(), WINDOW);
        signals.settle(1);
        assert_eq!(mids(&mut signals, now), [257]);
    }
}
