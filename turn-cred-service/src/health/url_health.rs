//! Turns probe results into a standing with hysteresis, so that one lost packet moves no client.

use crate::pool::Standing;

/// Consecutive failures until a URL is down.
const FAILURES_TO_DOWN: u32 = 3;

/// Consecutive successes until a URL that was down is healthy.
const SUCCESSES_TO_HEALTHY: u32 = 2;

/// The result of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeOutcome {
    Succeeded,
    Failed,
    /// The relay refused with 403: an operator is draining it.
    Draining,
}

/// The health of one URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UrlHealth {
    standing: Standing,
    /// Consecutive probes that contradict `standing`.
    streak: u32,
}

impl UrlHealth {
    /// Starts healthy: without a probe, nothing speaks against a URL.
    pub(super) fn new() -> Self {
        Self { standing: Standing::Healthy, streak: 0 }
    }

    pub(super) fn standing(self) -> Standing {
        self.standing
    }

    /// Applies one probe result. `Draining` takes effect at once: it is the relay's own statement,
    /// not a measurement.
    #[must_use]
    pub(super) fn record(self, outcome: ProbeOutcome) -> Self {
        let streak = self.streak + 1;
        let to = |standing, streak| Self { standing, streak };
        match (self.standing, outcome) {
            (_, ProbeOutcome::Draining) => to(Standing::Draining, 0),
            (Standing::Healthy, ProbeOutcome::Succeeded) => self,
            (Standing::Healthy, ProbeOutcome::Failed) => to(Standing::Suspect, 1),
            (Standing::Suspect, ProbeOutcome::Failed) if streak >= FAILURES_TO_DOWN => {
                to(Standing::Down, 0)
            }
            (Standing::Suspect, ProbeOutcome::Failed) => to(Standing::Suspect, streak),
            (Standing::Suspect, ProbeOutcome::Succeeded) => to(Standing::Healthy, 0),
            (Standing::Draining | Standing::Down, ProbeOutcome::Failed) => to(Standing::Down, 0),
            (Standing::Draining | Standing::Down, ProbeOutcome::Succeeded)
                if streak >= SUCCESSES_TO_HEALTHY =>
            {
                to(Standing::Healthy, 0)
            }
            (Standing::Draining | Standing::Down, ProbeOutcome::Succeeded) => {
                to(self.standing, streak)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(outcomes: &[ProbeOutcome]) -> Standing {
        outcomes.iter().fold(UrlHealth::new(), |health, outcome| health.record(*outcome)).standing()
    }

    #[test]
    fn one_failure_makes_suspect_and_three_in_a_row_make_down() {
        use ProbeOutcome::{Failed, Succeeded};
        assert_eq!(after(&[]), Standing::Healthy);
        assert_eq!(after(&[Failed]), Standing::Suspect);
        assert_eq!(after(&[Failed, Failed]), Standing::Suspect);
        assert_eq!(after(&[Failed, Failed, Failed]), Standing::Down);
        assert_eq!(after(&[Failed, Failed, Succeeded, Failed, Failed]), Standing::Suspect);
    }

    #[test]
    fn a_down_url_needs_two_successes_in_a_row() {
        use ProbeOutcome::{Failed, Succeeded};
        let down = [Failed; 3];
        assert_eq!(after(&[&down[..], &[Succeeded]].concat()), Standing::Down);
        assert_eq!(after(&[&down[..], &[Succeeded, Failed, Succeeded]].concat()), Standing::Down);
        assert_eq!(after(&[&down[..], &[Succeeded, Succeeded]].concat()), Standing::Healthy);
    }

    #[test]
    fn a_relay_that_drains_is_believed_at_once() {
        use ProbeOutcome::{Draining, Failed, Succeeded};
        assert_eq!(after(&[Draining]), Standing::Draining);
        assert_eq!(after(&[Draining, Failed]), Standing::Down);
        assert_eq!(after(&[Draining, Succeeded]), Standing::Draining);
        assert_eq!(after(&[Draining, Succeeded, Succeeded]), Standing::Healthy);
    }
}
