//! Turns single tries of a URL into a standing, so that one lost packet moves nobody.

use crate::pool::Standing;

/// How many failures in a row make a URL down.
const FAILURES: u32 = 3;

/// How many successes in a row make it healthy again.
const SUCCESSES: u32 = 2;

/// How one try went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The relay did all that a client asks of it.
    Well,
    /// It did not.
    Failed,
    /// It says that it takes nobody new.
    Draining,
}

/// What is known of one URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judge {
    standing: Standing,
    /// Tries in a row that speak against the standing.
    streak: u32,
}

impl Judge {
    /// Believes in a URL that was never tried.
    pub(super) fn new() -> Self {
        Self { standing: Standing::Healthy, streak: 0 }
    }

    pub(super) fn standing(self) -> Standing {
        self.standing
    }

    /// Takes in one try.
    #[must_use]
    pub(super) fn judge(self, outcome: Outcome) -> Self {
        let streak = self.streak + 1;
        let to = |standing, streak| Self { standing, streak };
        match (self.standing, outcome) {
            (_, Outcome::Draining) => to(Standing::Draining, 0),
            (Standing::Healthy, Outcome::Well) => self,
            (Standing::Healthy, Outcome::Failed) => to(Standing::Suspect, 1),
            (Standing::Suspect, Outcome::Failed) if streak >= FAILURES => to(Standing::Down, 0),
            (Standing::Suspect, Outcome::Failed) => to(Standing::Suspect, streak),
            (Standing::Suspect, Outcome::Well) => to(Standing::Healthy, 0),
            (Standing::Draining | Standing::Down, Outcome::Failed) => to(Standing::Down, 0),
            (Standing::Draining | Standing::Down, Outcome::Well) if streak >= SUCCESSES => {
                to(Standing::Healthy, 0)
            }
            (Standing::Draining | Standing::Down, Outcome::Well) => to(self.standing, streak),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(outcomes: &[Outcome]) -> Standing {
        outcomes.iter().fold(Judge::new(), |judge, outcome| judge.judge(*outcome)).standing()
    }

    #[test]
    fn one_failure_makes_suspect_and_three_in_a_row_make_down() {
        use Outcome::{Failed, Well};
        assert_eq!(after(&[]), Standing::Healthy);
        assert_eq!(after(&[Failed]), Standing::Suspect);
        assert_eq!(after(&[Failed, Failed]), Standing::Suspect);
        assert_eq!(after(&[Failed, Failed, Failed]), Standing::Down);
        assert_eq!(after(&[Failed, Failed, Well, Failed, Failed]), Standing::Suspect);
    }

    #[test]
    fn what_is_down_must_do_well_twice_in_a_row() {
        use Outcome::{Failed, Well};
        let down = [Failed; 3];
        assert_eq!(after(&[&down[..], &[Well]].concat()), Standing::Down);
        assert_eq!(after(&[&down[..], &[Well, Failed, Well]].concat()), Standing::Down);
        assert_eq!(after(&[&down[..], &[Well, Well]].concat()), Standing::Healthy);
    }

    #[test]
    fn a_relay_that_drains_is_believed_at_once() {
        use Outcome::{Draining, Failed, Well};
        assert_eq!(after(&[Draining]), Standing::Draining);
        assert_eq!(after(&[Draining, Failed]), Standing::Down);
        assert_eq!(after(&[Draining, Well]), Standing::Draining);
        assert_eq!(after(&[Draining, Well, Well]), Standing::Healthy);
    }
}
