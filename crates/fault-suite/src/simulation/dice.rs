//! Chance, drawn from the seed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;

/// The chance of one part of the simulation. Each part has its own, so that what one of them draws
/// does not depend on when the others do.
pub(super) struct Dice(Mutex<Rng>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(Rng::with_seed(seed)))
    }

    /// Dice for a part of this part.
    pub(super) fn fork(&self) -> Self {
        Self(Mutex::new(self.rng().fork()))
    }

    fn rng(&self) -> MutexGuard<'_, Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once in so many times.
    pub(super) fn one_in(&self, count: u32) -> bool {
        self.rng().u32(0..count) == 0
    }

    /// How long a packet takes: mostly a moment, sometimes much longer.
    pub(super) fn delay(&self) -> Duration {
        let mut rng = self.rng();
        let most = match rng.u32(0..100) {
            0 => 600,
            1..=9 => 60,
            _ => 4,
        };
        Duration::from_millis(rng.u64(0..=most))
    }

    /// How long a packet takes on a way that is never clogged.
    pub(super) fn short_delay(&self) -> Duration {
        Duration::from_millis(self.rng().u64(0..=30))
    }
}
