//! A member's own stream of `signal` and `update`: numbering, resend buffer, go-back-N.
//!
//! The log accepts `mid` = last + 1 only, acknowledges cumulatively and rejects what is out of order
//! (docs/PROTOCOL.md, section 5). Pure: no socket, no timer, `now` is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// After going back once, further `out_of_order` is ignored for this long unless an `ack` moves: each message of a
/// window that was sent too early is answered, and going back for each of them would resend the window as often.
const GO_BACK_ONCE: Duration = Duration::from_secs(1);
/// The pause before a retry where the node names none; it doubles until something is settled.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest of these pauses: what waits is small, what a thousand clients repeat during an outage is not.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Messages that are retried at once while nothing is settled: the whole window would exceed the rate limit.
const PROBE: usize = 16;

/// A message without its `mid`.
#[derive(Clone, Debug)]
pub(super) struct Body {
    /// `signal` or `update`.
    pub(super) kind: &'static str,
    /// What follows `"mid":…,` in the frame, with the closing brace.
    pub(super) rest: String,
}

impl Body {
    pub(super) fn frame(&self, mid: u64) -> String {
        format!(r#"{{"type":"{}","mid":{mid},{}"#, self.kind, self.rest)
    }
}

struct Held<T> {
    /// Absent once the message was refused for good: its `mid` stays in use until all before it are settled.
    tag: Option<T>,
    body: Body,
}

/// An `error` that names a `mid`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) mid: u64,
    pub(super) retry: bool,
    pub(super) expected: Option<u64>,
    pub(super) after: Option<Duration>,
}

/// The messages that are not settled, and what of them to send now. A tag names a message to its sender.
pub(super) struct Outgoing<T> {
    held: VecDeque<Held<T>>,
    /// How many of `held` were sent on this link.
    sent: usize,
    /// The highest settled `mid`.
    settled: u64,
    /// Whether `joined` arrived on this link: nothing is sent before.
    open: bool,
    paused_until: Option<Instant>,
    went_back: Option<Instant>,
    /// When to go back because of an `out_of_order` that was ignored.
    doubt: Option<Instant>,
    /// How many refusals in a row settled nothing.
    failures: u32,
    window: usize,
}

impl<T: Copy> Outgoing<T> {
    pub(super) fn new(window: usize) -> Self {
        Self {
            held: VecDeque::new(),
            sent: 0,
            settled: 0,
            open: false,
            paused_until: None,
            went_back: None,
            doubt: None,
            failures: 0,
            window,
        }
    }

    /// How many messages are not settled.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Takes over `limits.unacked` of the node now connected to.
    pub(super) fn limit(&mut self, window: usize) {
        self.window = window;
    }

    /// Returns the highest settled `mid`.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    pub(super) fn push(&mut self, tag: T, body: Body) {
        self.held.push_back(Held { tag: Some(tag), body });
    }

    /// Returns the frames to send now, and counts them as sent.
    pub(super) fn due(&mut self, now: Instant) -> Vec<String> {
        if self.doubt.is_some_and(|at| now >= at) {
            self.go_back(0, now);
        }
        if !self.open || self.paused_until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        let window = if self.failures > 0 { self.window.min(PROBE) } else { self.window };
        let end = self.held.len().min(window);
        let range = self.sent.min(end)..end;
        self.sent = self.sent.max(end);
        let first = self.settled + 1 + range.start as u64;
        (first..).zip(self.held.range(range)).map(|(mid, held)| held.body.frame(mid)).collect()
    }

    /// Returns when `due` will have something to send by the passing of time alone.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        if !self.open || self.held.is_empty() {
            return None;
        }
        let pause = self.paused_until.filter(|at| *at > now);
        [pause, self.doubt].into_iter().flatten().min()
    }

    /// Sends nothing until `resume` or `restart`: the link is gone.
    pub(super) fn suspend(&mut self) {
        self.open = false;
    }

    /// Sends nothing before `until`.
    pub(super) fn pause_until(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Settles everything up to `mid`, and returns what took effect.
    pub(super) fn ack(&mut self, mid: u64) -> Vec<T> {
        let moved = self.index(mid.saturating_add(1)).min(self.held.len());
        if moved > 0 {
            (self.went_back, self.doubt, self.failures) = (None, None, 0);
        }
        self.drop_first(moved)
    }

    /// Handles an error; returns the message if it is refused for good.
    pub(super) fn fail(&mut self, failure: Failure, now: Instant) -> Option<T> {
        if !failure.retry {
            return self.refuse(failure.mid);
        }
        let index = self.index(failure.expected.unwrap_or(failure.mid));
        let back_until = self.went_back.map(|at| at + GO_BACK_ONCE);
        if failure.expected.is_none() {
            self.pause(index, now, failure.after);
        } else if back_until.is_none_or(|until| now >= until) {
            self.go_back(index, now);
        } else {
            self.doubt = back_until;
        }
        None
    }

    /// Goes on from the `mid` of `joined` or `reset`; returns what is settled by it. A lower `mid` than the last settled
    /// one means that the log forgot: what is held is renumbered from there.
    pub(super) fn resume(&mut self, mid: u64) -> Vec<T> {
        let known = mid >= self.settled;
        let moved = if known { self.index(mid.saturating_add(1)).min(self.held.len()) } else { 0 };
        let settled = self.drop_first(moved);
        if !known || self.held.is_empty() {
            self.settled = mid;
        }
        self.begin();
        settled
    }

    /// Starts over as a new member; returns the messages that are given up.
    pub(super) fn restart(&mut self) -> Vec<T> {
        self.settled = 0;
        self.begin();
        self.held.drain(..).filter_map(|held| held.tag).collect()
    }

    fn begin(&mut self) {
        (self.sent, self.open, self.failures) = (0, true, 0);
        (self.paused_until, self.went_back, self.doubt) = (None, None, None);
    }

    /// The place of a `mid` in `held`.
    fn index(&self, mid: u64) -> usize {
        usize::try_from(mid.saturating_sub(self.settled + 1)).unwrap_or(usize::MAX)
    }

    fn drop_first(&mut self, count: usize) -> Vec<T> {
        self.settled += count as u64;
        self.sent = self.sent.saturating_sub(count);
        self.held.drain(..count).filter_map(|held| held.tag).collect()
    }

    fn go_back(&mut self, index: usize, now: Instant) {
        self.sent = self.sent.min(index);
        self.went_back = Some(now);
        self.doubt = None;
    }

    /// Messages at or beyond `sent` were not sent since the last going back: its error is old news, except for a wait
    /// that it names.
    fn pause(&mut self, index: usize, now: Instant, after: Option<Duration>) {
        let doubled = FIRST_PAUSE * 2_u32.pow(self.failures.min(16));
        if after.is_some() || index < self.sent {
            self.pause_until(now + after.unwrap_or(doubled.min(LONGEST_PAUSE)));
        }
        if index < self.sent {
            self.failures += 1;
            self.go_back(index, now);
        }
        self.went_back = self.went_back.max(self.paused_until);
    }

    /// Handles a refusal for good; returns the message, unless that is known. Its `mid` stays in use.
    pub(super) fn refuse(&mut self, mid: u64) -> Option<T> {
        let index = usize::try_from(mid.checked_sub(self.settled + 1)?).ok()?;
        let refused = self.held.get_mut(index)?.tag.take()?;
        let leading = self.held.iter().take_while(|held| held.tag.is_none()).count();
        self.drop_first(leading);
        Some(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(count: u32) -> Outgoing<u32> {
        let mut outgoing = Outgoing::new(256);
        outgoing.restart();
        let body = Body { kind: "signal", rest: "}".to_owned() };
        (1..=count).for_each(|number| outgoing.push(number, body.clone()));
        outgoing
    }

    fn mids(outgoing: &mut Outgoing<u32>, now: Instant) -> Vec<u64> {
        let mid = |frame: String| {
            serde_json::from_str::<serde_json::Value>(&frame.replace(",}", "}")).unwrap()["mid"]
                .as_u64()
                .unwrap()
        };
        outgoing.due(now).into_iter().map(mid).collect()
    }

    fn retry(mid: u64, expected: Option<u64>) -> Failure {
        Failure { mid, retry: true, expected, after: None }
    }

    fn refusal(mid: u64) -> Failure {
        Failure { mid, retry: false, expected: None, after: None }
    }

    #[test]
    fn what_is_not_settled_is_sent_again_on_the_next_link() {
        let (mut outgoing, now) = (holding(3), Instant::now());
        assert_eq!(mids(&mut outgoing, now), [1, 2, 3]);
        assert_eq!(outgoing.ack(1), [1]);
        outgoing.suspend();
        assert!(mids(&mut outgoing, now).is_empty());
        assert!(outgoing.resume(1).is_empty());
        assert_eq!(mids(&mut outgoing, now), [2, 3]);
    }

    #[test]
    fn a_lower_mid_than_the_last_settled_one_renumbers_the_rest() {
        let (mut outgoing, now) = (holding(3), Instant::now());
        outgoing.ack(2);
        outgoing.resume(0);
        assert_eq!(mids(&mut outgoing, now), [1]);
        assert_eq!(outgoing.ack(1), [3]);
    }

    #[test]
    fn out_of_order_goes_back_once() {
        let (mut outgoing, now) = (holding(4), Instant::now());
        mids(&mut outgoing, now);
        outgoing.fail(retry(3, Some(2)), now);
        assert_eq!(mids(&mut outgoing, now), [2, 3, 4]);
        outgoing.fail(retry(4, Some(2)), now);
        assert!(mids(&mut outgoing, now).is_empty());
        assert_eq!(outgoing.wake_at(now), Some(now + GO_BACK_ONCE));
        assert_eq!(mids(&mut outgoing, now + GO_BACK_ONCE), [1, 2, 3, 4]);
    }

    #[test]
    fn a_refused_message_uses_its_mid_up_and_does_not_count_as_settled() {
        let (mut outgoing, now) = (holding(3), Instant::now());
        mids(&mut outgoing, now);
        assert_eq!(outgoing.fail(refusal(2), now), Some(2));
        assert_eq!(outgoing.fail(refusal(2), now), None);
        assert_eq!(outgoing.ack(3), [1, 3]);
        assert_eq!(outgoing.len(), 0);
    }

    #[test]
    fn no_more_than_the_window_is_unacknowledged() {
        let (mut outgoing, now) = (holding(5), Instant::now());
        outgoing.limit(2);
        assert_eq!(mids(&mut outgoing, now), [1, 2]);
        outgoing.ack(1);
        assert_eq!(mids(&mut outgoing, now), [3]);
    }

    #[test]
    fn pauses_double_while_nothing_is_settled_and_retry_a_part_of_the_window() {
        let (mut outgoing, mut now) = (holding(40), Instant::now());
        assert_eq!(mids(&mut outgoing, now).len(), 40);
        for pause in [200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            outgoing.fail(retry(1, None), now);
            let until = now + Duration::from_millis(pause);
            assert_eq!(outgoing.wake_at(now), Some(until));
            now = until;
            assert_eq!(mids(&mut outgoing, now).len(), PROBE);
        }
        outgoing.ack(1);
        assert_eq!(mids(&mut outgoing, now).len(), 39 - (PROBE - 1));
    }

    #[test]
    fn an_ack_of_more_than_was_sent_settles_what_is_held() {
        let mut outgoing = holding(2);
        assert_eq!(outgoing.ack(u64::MAX), [1, 2]);
        assert!(outgoing.ack(0).is_empty());
    }
}
