//! The member's own stream of kept signals: numbering, resend buffer, go-back-N.
//!
//! The model of `client/src/outgoing.js`, and like it pure: no socket, no timer, `now` is passed in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// After going back once, further `out_of_order` is ignored for this long unless an `ack` moves.
const GO_BACK_ONCE: Duration = Duration::from_secs(1);
/// Messages that are tried again at once while nothing is settled, as the SDK does.
const PROBE: usize = 16;
/// The pause before a retry where the node named none.
const DEFAULT_PAUSE: Duration = Duration::from_millis(200);

struct Held {
    number: u32,
    rest: String,
    refused: bool,
}

/// What is not settled yet, and what of it to send now.
pub(super) struct Outgoing {
    held: VecDeque<Held>,
    /// How many of `held` were sent on this socket.
    sent: usize,
    /// The highest settled `mid`.
    settled: u64,
    /// Whether `joined` came on this socket.
    open: bool,
    paused_until: Option<Instant>,
    /// Whether the last answer was that it is to be tried again.
    refused: bool,
    went_back: Option<Instant>,
    /// When to go back on account of an `out_of_order` that was ignored.
    doubt: Option<Instant>,
    window: usize,
}

/// An `error` that names a `mid`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) mid: u64,
    pub(super) retry: bool,
    pub(super) expected: Option<u64>,
    pub(super) after: Option<Duration>,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            held: VecDeque::new(),
            sent: 0,
            settled: 0,
            open: false,
            paused_until: None,
            refused: false,
            went_back: None,
            doubt: None,
            window: 256,
        }
    }

    /// How many messages are not settled.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn limit(&mut self, window: usize) {
        self.window = window;
    }

    /// Appends a signal.
    pub(super) fn push(&mut self, number: u32, rest: String) {
        self.held.push_back(Held { number, rest, refused: false });
    }

    /// The frames to send now, which count as sent.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(u64, String)> {
        if self.doubt.is_some_and(|at| now >= at) {
            self.go_back(0, now);
        }
        if !self.open || self.paused_until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        let window = if self.refused { self.window.min(PROBE) } else { self.window };
        let end = self.held.len().min(window);
        let range = self.sent.min(end)..end;
        self.sent = self.sent.max(end);
        let first = self.settled + 1 + range.start as u64;
        (first..).zip(self.held.range(range)).map(|(mid, held)| (mid, held.rest.clone())).collect()
    }

    /// When `due` will have something to send by the passing of time alone.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        if !self.open || self.held.is_empty() {
            return None;
        }
        [self.paused_until, self.doubt].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Sends nothing until `resume` or `restart`.
    pub(super) fn suspend(&mut self) {
        self.open = false;
    }

    /// Settles everything up to `mid`; returns the number of the last one that was held.
    pub(super) fn ack(&mut self, mid: u64) -> Option<u32> {
        let moved = usize::try_from(mid.saturating_sub(self.settled)).unwrap_or(usize::MAX);
        let last = self.drop_first(moved.min(self.held.len()));
        if last.is_some() {
            self.refused = false;
            self.went_back = None;
            self.doubt = None;
        }
        last
    }

    /// Takes an error; returns the number of the signal if it is refused for good.
    pub(super) fn fail(&mut self, refusal: Refusal, now: Instant) -> Option<u32> {
        if !refusal.retry {
            return self.refuse(refusal.mid);
        }
        let mid = refusal.expected.unwrap_or(refusal.mid);
        let index = usize::try_from(mid.saturating_sub(self.settled + 1)).unwrap_or(usize::MAX);
        let back = self.went_back.map(|at| at + GO_BACK_ONCE);
        if refusal.expected.is_none() {
            self.pause(index, now, refusal.after.unwrap_or(DEFAULT_PAUSE));
        } else if back.is_none_or(|until| now >= until) {
            self.go_back(index, now);
        } else {
            self.doubt = back;
        }
        None
    }

    /// Goes on from the `mid` of `joined` or `reset`; returns the last number settled by it.
    pub(super) fn resume(&mut self, mid: u64) -> Option<u32> {
        let known = mid >= self.settled;
        let moved = usize::try_from(mid.saturating_sub(self.settled)).unwrap_or(usize::MAX);
        let last = if known { self.drop_first(moved.min(self.held.len())) } else { None };
        // A lower `mid` than the last settled one: what is held is counted from there again.
        if !known || self.held.is_empty() {
            self.settled = mid;
        }
        self.fresh();
        last
    }

    /// Starts over as a new member; returns how many signals are given up.
    pub(super) fn restart(&mut self) -> usize {
        let lost = self.held.len();
        self.held.clear();
        self.settled = 0;
        self.fresh();
        lost
    }

    fn fresh(&mut self) {
        self.sent = 0;
        self.open = true;
        (self.paused_until, self.went_back, self.doubt) = (None, None, None);
        self.refused = false;
    }

    fn drop_first(&mut self, count: usize) -> Option<u32> {
        self.settled += count as u64;
        self.sent = self.sent.saturating_sub(count);
        self.held.drain(..count).next_back().map(|held| held.number)
    }

    fn go_back(&mut self, index: usize, now: Instant) {
        self.sent = self.sent.min(index);
        self.went_back = Some(now);
        self.doubt = None;
    }

    fn pause(&mut self, index: usize, now: Instant, after: Duration) {
        let until = self.paused_until.map_or(now + after, |until| until.max(now + after));
        self.paused_until = Some(until);
        self.refused = true;
        if index < self.sent {
            self.go_back(index, now);
        }
        self.went_back = self.went_back.max(Some(until));
    }

    /// Keeps the place of a refused signal until everything before it is settled.
    fn refuse(&mut self, mid: u64) -> Option<u32> {
        let index = usize::try_from(mid.checked_sub(self.settled + 1)?).ok()?;
        let held = self.held.get_mut(index)?;
        if std::mem::replace(&mut held.refused, true) {
            return None;
        }
        let number = held.number;
        let leading = self.held.iter().take_while(|held| held.refused).count();
        self.drop_first(leading);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(count: u32) -> Outgoing {
        let mut outgoing = Outgoing::new();
        outgoing.restart();
        (1..=count).for_each(|number| outgoing.push(number, String::new()));
        outgoing
    }

    fn mids(outgoing: &mut Outgoing, now: Instant) -> Vec<u64> {
        outgoing.due(now).into_iter().map(|(mid, _)| mid).collect()
    }

    fn refusal(mid: u64, expected: Option<u64>) -> Refusal {
        Refusal { mid, retry: true, expected, after: None }
    }

    #[test]
    fn what_is_not_settled_is_sent_again_on_the_next_socket() {
        let (mut outgoing, now) = (holding(3), Instant::now());
        assert_eq!(mids(&mut outgoing, now), [1, 2, 3]);
        assert_eq!(outgoing.ack(1), Some(1));
        assert_eq!(outgoing.resume(1), None);
        assert_eq!(mids(&mut outgoing, now), [2, 3]);
    }

    #[test]
    fn a_lower_mid_than_the_last_settled_one_renumbers_the_rest() {
        let (mut outgoing, now) = (holding(3), Instant::now());
        outgoing.ack(2);
        outgoing.resume(0);
        assert_eq!(outgoing.due(now).len(), 1);
        assert_eq!(outgoing.ack(1), Some(3));
    }

    #[test]
    fn out_of_order_goes_back_once() {
        let (mut outgoing, now) = (holding(4), Instant::now());
        mids(&mut outgoing, now);
        outgoing.fail(refusal(3, Some(2)), now);
        assert_eq!(mids(&mut outgoing, now), [2, 3, 4]);
        outgoing.fail(refusal(4, Some(2)), now);
        assert!(mids(&mut outgoing, now).is_empty());
        assert_eq!(outgoing.wake_at(now), Some(now + GO_BACK_ONCE));
    }

    #[test]
    fn a_refused_signal_uses_its_mid_up() {
        let (mut outgoing, now) = (holding(3), Instant::now());
        mids(&mut outgoing, now);
        let refused = Refusal { mid: 2, retry: false, expected: None, after: None };
        assert_eq!(outgoing.fail(refused, now), Some(2));
        assert_eq!(outgoing.ack(3), Some(3));
        assert_eq!(outgoing.len(), 0);
    }

    #[test]
    fn no_more_than_the_window_is_under_way() {
        let (mut outgoing, now) = (holding(5), Instant::now());
        outgoing.limit(2);
        assert_eq!(mids(&mut outgoing, now), [1, 2]);
        outgoing.ack(1);
        assert_eq!(mids(&mut outgoing, now), [3]);
    }
}
