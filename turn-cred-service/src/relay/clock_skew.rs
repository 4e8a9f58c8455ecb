//! How far the clock of a relay is from ours, found by asking.
//!
//! A relay admits a credential exactly while its end is not before the relay's own time. So the
//! earliest end that is admitted, counted from our time, is how far the relay is ahead.

/// The most that is looked for, in seconds: a day and a half.
const MAX_OFFSET: i64 = 1 << 17;

/// A search for how far a clock is off. What is known: no end up to `refused` is admitted, every end from `admitted` on is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SkewSearch {
    refused: Option<i64>,
    admitted: Option<i64>,
}

/// What has come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSkew {
    /// The relay is so many seconds ahead of us, or behind if negative.
    Ahead(i64),
    /// It admits a credential that ended a day ago.
    Unbounded,
    /// It admits none.
    Unknown,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkewStep {
    /// Try a credential that ends so many seconds from now.
    Try(i64),
    /// Stop.
    Found(ClockSkew),
}

impl SkewSearch {
    /// Doubles the distance until one answer of each kind is known, then halves between them.
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
            // A second may pass between two questions, so they may even cross.
            (Some(refused), Some(admitted)) if admitted - refused <= 1 => {
                SkewStep::Found(ClockSkew::Ahead(admitted))
            }
            (Some(refused), Some(admitted)) => SkewStep::Try(refused + (admitted - refused) / 2),
        }
    }

    /// Takes in whether a credential that ended at `offset` from now was admitted.
    pub fn record(&mut self, offset: i64, was_admitted: bool) {
        let known = if was_admitted { &mut self.admitted } else { &mut self.refused };
        *known = Some(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Asks a relay that is `ahead`; tells what comes out, and after how many questions.
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
