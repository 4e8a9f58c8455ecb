//! How a node that ends hands its clients over: spread in time, so that the others are not stormed.

use std::time::Duration;

/// Clients that are asked to move in a second, where the time allows it.
const PER_SECOND: u32 = 500;

/// The part of the time that is kept for those who do not move: they are closed, and the log is told.
const REST: u32 = 5;

/// The plan that a draining node makes for all its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Clients are asked to move at moments spread over this.
    window: Duration,
    /// How long each has from its moment on.
    within: Duration,
}

/// What one client is told.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation {
    pub after: Duration,
    /// How long that may take.
    pub within: Duration,
}

impl Handover {
    /// Spreads `clients` over `time`, but asks no fewer than 500 to move in a second.
    #[must_use]
    pub fn plan(clients: usize, time: Duration) -> Self {
        let clients = u32::try_from(clients).unwrap_or(u32::MAX);
        let time = time / REST * (REST - 1);
        let window = (Duration::from_secs(1) * clients / PER_SECOND).min(time * 3 / 4);
        Self { window, within: time.saturating_sub(window) }
    }

    /// Draws the moment of one client.
    #[must_use]
    pub fn invitation(&self) -> Invitation {
        let draw = u32::from_le_bytes(service_kit::random::bytes());
        let after = self.window.mul_f64(f64::from(draw) / f64::from(u32::MAX));
        Invitation { after, within: self.within }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_clients_move_at_once_and_many_over_most_of_the_time() {
        let time = Duration::from_secs(20);
        let few = Handover::plan(50, time);
        assert_eq!(
            (few.window, few.within),
            (Duration::from_millis(100), Duration::from_millis(15_900))
        );
        let many = Handover::plan(1_000_000, time);
        assert_eq!((many.window, many.within), (Duration::from_secs(12), Duration::from_secs(4)));
    }

    proptest! {
        #[test]
        fn nobody_is_invited_past_the_time(clients in 0_usize..10_000_000, seconds in 0_u64..600) {
            let time = Duration::from_secs(seconds);
            let Invitation { after, within } = Handover::plan(clients, time).invitation();
            prop_assert!(after + within <= time);
        }
    }
}
