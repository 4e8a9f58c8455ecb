//! Measures how far the clock of a relay is ahead, by bisection over expiries.
//!
//! A relay accepts a credential whose expiry is not before the relay's own time. So the earliest
//! accepted expiry, relative to this machine's clock, is the relay's lead.

/// Largest offset tried, in seconds: a day and a half.
const MAX_OFFSET: i64 = 1 << 17;

/// The search interval: no expiry up to `refused` is accepted, every expiry from `admitted` on is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SkewSearch {
    refused: Option<i64>,
    admitted: Option<i64>,
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSkew {
    /// Seconds by which the relay is ahead; negative if it is behind.
    Ahead(i64),
    /// The relay accepts a credential that expired a day ago: it does not check the expiry.
    Unbounded,
    /// The relay accepts no credential.
    Unknown,
}

/// The next action of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkewStep {
    /// Try a credential that expires this many seconds from now.
    Try(i64),
    /// Stop: this is the result.
    Found(ClockSkew),
}

impl SkewSearch {
    /// Doubles the distance until one accepted and one refused expiry are known, then bisects.
    #[must_use]
    pub fn next(self) -> SkewStep {
        match (self.refused, self.admitted) {
            (None, None) => SkewStep::Try(0),
            (None, Some(admitted)) if admitted <= -MAX_OFFSET => {
                SkewStep::Found(ClockSkew::Unbounded)
            }
            (None, Some(0)) => SkewStep::Try(-1),
            (None, Some(admitted)) => SkewStep::Try(2 * admitted),
            (Some(refused), None) if refused >= MAX_OFFSET => SkewStep::Found(ClockSkew::Unknown),
            (Some(0), None) => SkewStep::Try(1),
            (Some(refused), None) => SkewStep::Try(2 * refused),
            // `<= 1` and not `== 1`: a second may pass between two attempts, and the bounds may
            // even cross.
            (Some(refused), Some(admitted)) if admitted - refused <= 1 => {
                SkewStep::Found(ClockSkew::Ahead(admitted))
            }
            (Some(refused), Some(admitted)) => SkewStep::Try(refused + (admitted - refused) / 2),
        }
    }

    /// Records whether an expiry `offset` seconds from now was accepted.
    pub fn record(&mut self, offset: i64, was_admitted: bool) {
        let known = if was_admitted { &mut self.admitted } else { &mut self.refused };
        *known = Some(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Searches at a simulated relay; returns the result and the number of attempts.
    fn find(admits: impl Fn(i64) -> bool) -> (ClockSkew, usize) {
        let mut search = SkewSearch::default();
        let mut questions = 0;
        loop {
            match search.next() {
                SkewStep::Found(skew) => return (skew, questions),
                SkewStep::Try(offset) => search.record(offset, admits(offset)),
            }
            questions += 1;
        }
    }

    #[test]
    fn a_relay_that_admits_everything_or_nothing_has_no_skew() {
        assert_eq!(find(|_| true).0, ClockSkew::Unbounded);
        assert_eq!(find(|_| false).0, ClockSkew::Unknown);
    }

    #[test]
    fn clocks_that_agree_take_two_questions() {
        assert_eq!(find(|offset| offset >= 0), (ClockSkew::Ahead(0), 2));
    }

    proptest! {
        #[test]
        fn any_skew_of_a_day_is_found_within_forty_questions(ahead in -86_400_i64..=86_400) {
            let (skew, questions) = find(|offset| offset >= ahead);
            prop_assert_eq!(skew, ClockSkew::Ahead(ahead));
            prop_assert!(questions <= 40, "{} questions", questions);
        }
    }
}
