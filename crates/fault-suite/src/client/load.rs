//! What a client sends and when, and how it behaves otherwise.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

/// How often a client sends. The rate does not depend on answers (an open loop).
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The time between two bursts.
    pub every: Duration,
    /// Signals per burst, as ICE candidates come.
    pub burst: u32,
}

/// What a client does beside sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Stays, and comes back whenever its socket is lost.
    Stays,
    /// Leaves or drops its socket for good after a while, and comes as somebody new.
    Churns,
    /// Does not come back after its socket is lost.
    Vanishes,
}

#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct Profile {
    pub room: u32,
    /// What it sends; nothing if absent.
    pub pace: Option<Pace>,
    /// What it does beside sending.
    pub behaviour: Behaviour,
    /// Bytes of ballast in each signal.
    pub ballast: usize,
    /// The node to begin with; any if absent.
    pub endpoint: Option<usize>,
}

/// When the next burst is due.
pub(super) struct BurstSchedule {
    pace: Pace,
    next: Instant,
}

impl BurstSchedule {
    /// Begins somewhere within the first interval, so that clients do not send in step.
    pub(super) fn begin(pace: Pace, rng: &mut Rng) -> Self {
        Self { pace, next: Instant::now() + pace.every.mul_f64(rng.f64()) }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// How many signals are due.
    pub(super) fn due(&mut self, now: Instant) -> u32 {
        let mut count = 0;
        while self.next <= now {
            self.next += self.pace.every;
            count += self.pace.burst;
        }
        count
    }
}

/// How long a churning client stays in a room, or out of it, in milliseconds.
pub(super) const STAYS_FOR: (u64, u64) = (3_000, 20_000);
/// How long it waits before it asks a full room again, in milliseconds.
pub(super) const KNOCKS_AFTER: (u64, u64) = (300, 2_000);
