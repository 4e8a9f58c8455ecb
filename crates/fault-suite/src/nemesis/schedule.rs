//! From a seed to a schedule: which fault, where, when, for how long. The same seed, the same faults.

use std::time::Duration;

use fastrand::Rng;

use crate::cluster::NODES;
use crate::history::FaultKind;
use crate::proxy::Direction;

/// One fault to come.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When, from the beginning of the schedule.
    pub at: Duration,
    /// For how long; zero for what happens in an instant.
    pub lasts: Duration,
    pub kind: FaultKind,
    /// The node it affects, if one.
    pub node: Option<usize>,
    /// Which direction, where only one is closed or silent.
    pub direction: Direction,
    /// By how many seconds the clock of Redis is set.
    pub seconds: i64,
    /// Which keys are lost.
    pub seed: u64,
    /// The slots of so many rooms move.
    pub rooms: u32,
}

impl Planned {
    /// One fault at a time, for scenarios that draw nothing.
    #[must_use]
    pub fn of(kind: FaultKind, at: Duration, lasts: Duration) -> Self {
        Self {
            at,
            lasts,
            kind,
            node: None,
            direction: Direction::Back,
            seconds: 0,
            seed: 0,
            rooms: 0,
        }
    }

    /// Affects this node.
    #[must_use]
    pub fn on(self, node: usize) -> Self {
        Self { node: Some(node), ..self }
    }

    /// Silences or closes this direction.
    #[must_use]
    pub fn towards(self, direction: Direction) -> Self {
        Self { direction, ..self }
    }

    /// Sets the clock of Redis by so many seconds.
    #[must_use]
    pub fn by(self, seconds: i64) -> Self {
        Self { seconds, ..self }
    }

    /// Loses the keys of this seed.
    #[must_use]
    pub fn drawn_by(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Moves the slots of so many rooms.
    #[must_use]
    pub fn of_rooms(self, rooms: u32) -> Self {
        Self { rooms, ..self }
    }

    fn ends(&self) -> Duration {
        self.at + self.lasts
    }
}

/// Which faults a schedule draws from: kind, weight, shortest and longest duration in milliseconds.
pub type FaultWeights = &'static [(FaultKind, u32, u64, u64)];

/// Everything that may happen to a cluster, but that Redis loses all it had.
///
/// No fault lasts as long as lease and grace together, so that a client can always come back in
/// time. Those of a node are often longer than the lease of the chaos scenario, two seconds.
pub const ALL: FaultWeights = &[
    (FaultKind::KillNode, 5, 300, 3_000),
    (FaultKind::StopNode, 4, 500, 6_000),
    (FaultKind::SlowNode, 2, 1_000, 6_000),
    (FaultKind::RestartNode, 2, 0, 1_000),
    (FaultKind::RollingRestart, 1, 0, 0),
    (FaultKind::CutClients, 4, 0, 0),
    (FaultKind::HalfCloseClients, 3, 0, 0),
    (FaultKind::StallClients, 3, 500, 5_000),
    (FaultKind::CutRedis, 5, 0, 0),
    (FaultKind::HalfCloseRedis, 4, 0, 0),
    (FaultKind::StallRedisLink, 3, 300, 5_000),
    (FaultKind::Partition, 3, 300, 6_000),
    (FaultKind::StallRedis, 3, 300, 3_000),
    (FaultKind::SlowRedis, 1, 1_000, 6_000),
    (FaultKind::KillRedis, 2, 200, 2_000),
    (FaultKind::SilentRedis, 2, 0, 4_000),
    (FaultKind::HalfSilentRedis, 2, 0, 4_000),
    (FaultKind::SilentSubscriber, 2, 0, 4_000),
    (FaultKind::TooFewReplicas, 1, 300, 6_000),
    (FaultKind::OutOfMemory, 1, 300, 6_000),
    (FaultKind::ReadOnly, 1, 300, 6_000),
    (FaultKind::FailedSnapshot, 1, 300, 6_000),
    (FaultKind::FailOver, 1, 2_000, 5_000),
    (FaultKind::LosePrimary, 1, 200, 4_000),
    (FaultKind::LoseKeys, 1, 0, 0),
    (FaultKind::OldSnapshot, 1, 1_000, 5_000),
    (FaultKind::StepClock, 2, 500, 6_000),
    (FaultKind::LeapClock, 1, 500, 6_000),
    (FaultKind::LongOutage, 1, 300, 2_000),
];

/// The keys of a room live for some minutes after the last call: a clock that is set by less ends none.
const STEP: (i64, i64) = (1, 60);
/// And one that is set by more ends all.
const LEAP: (i64, i64) = (600, 7_200);

/// How many faults may be under way at once: two clients of one room then suffer differently.
const AT_ONCE: usize = 2;

/// Draws `count` faults by their weights, spread over `window` as well as they fit.
///
/// The first ones are one of each kind, so that even a short run has seen all of them.
#[must_use]
pub fn schedule(
    seed: u64,
    weights: &[(FaultKind, u32, u64, u64)],
    count: usize,
    window: Duration,
) -> Vec<Planned> {
    let mut rng = Rng::with_seed(seed);
    let mut first: Vec<_> = weights.iter().collect();
    rng.shuffle(&mut first);
    let gap = window.div_f64(crate::report::count(count.max(1)));
    let mut at = Duration::ZERO;
    let mut planned: Vec<Planned> = Vec::with_capacity(count);
    for index in 0..count {
        let drawn = first.get(index).copied().unwrap_or_else(|| weighted(weights, &mut rng));
        let fault = place(&planned, draw(drawn, at, &mut rng));
        at = fault.at + gap.mul_f64(2.0 * rng.f64());
        planned.push(fault);
    }
    planned
}

fn weighted<'a>(
    weights: &'a [(FaultKind, u32, u64, u64)],
    rng: &mut Rng,
) -> &'a (FaultKind, u32, u64, u64) {
    let total: u32 = weights.iter().map(|(_, weight, ..)| weight).sum();
    let mut ticket = rng.u32(0..total);
    let drawn = weights.iter().find(|(_, weight, ..)| {
        let found = ticket < *weight;
        ticket = ticket.saturating_sub(*weight);
        found
    });
    drawn.expect("the ticket is below the sum of the weights")
}

fn draw(
    &(kind, _, shortest, longest): &(FaultKind, u32, u64, u64),
    at: Duration,
    rng: &mut Rng,
) -> Planned {
    let lasts = Duration::from_millis(rng.u64(shortest..=longest));
    let node = kind.is_local().then(|| rng.usize(0..NODES));
    let direction = if rng.bool() { Direction::Forward } else { Direction::Back };
    Planned {
        at,
        lasts,
        kind,
        node,
        direction,
        seconds: seconds(kind, rng),
        seed: rng.u64(..),
        rooms: 0,
    }
}

fn seconds(kind: FaultKind, rng: &mut Rng) -> i64 {
    let drawn = |(least, most): (i64, i64), rng: &mut Rng| rng.i64(least..=most);
    let sign = |rng: &mut Rng| if rng.bool() { 1 } else { -1 };
    match kind {
        FaultKind::StepClock => sign(rng) * drawn(STEP, rng),
        FaultKind::LeapClock => sign(rng) * drawn(LEAP, rng),
        // While Redis stands still, time only goes on.
        FaultKind::LongOutage => drawn(LEAP, rng),
        _ => 0,
    }
}

/// Moves a fault to the earliest time at which it may be under way together with the others.
fn place(planned: &[Planned], mut fault: Planned) -> Planned {
    loop {
        let under_way = || planned.iter().filter(|other| other.ends() > fault.at);
        let crowded = under_way().count() >= AT_ONCE;
        if !crowded && !under_way().any(|other| excludes(other, &fault)) {
            return fault;
        }
        fault.at = under_way().map(Planned::ends).min().unwrap_or(fault.at);
    }
}

/// Faults of Redis come alone, one node of three is always in good order, and no fault undoes another.
fn excludes(one: &Planned, other: &Planned) -> bool {
    if !one.kind.is_local() || !other.kind.is_local() {
        return true;
    }
    // A node that is to end by itself, or to start, is not held up meanwhile: without Redis it does
    // neither, and the schedule would wait for it in vain.
    let restarts = [one, other]
        .iter()
        .any(|fault| matches!(fault.kind, FaultKind::RestartNode | FaultKind::KillNode));
    let both = |is: fn(FaultKind) -> bool| is(one.kind) && is(other.kind);
    let same = one.kind == other.kind || both(is_process) || both(FaultKind::is_silence);
    one.node == other.node && (restarts || same)
}

fn is_process(kind: FaultKind) -> bool {
    use FaultKind as K;
    matches!(kind, K::KillNode | K::StopNode | K::SlowNode | K::RestartNode)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_same_seed_draws_the_same_schedule_and_another_does_not() {
        assert_eq!(schedule(7, ALL, 40, MINUTE), schedule(7, ALL, 40, MINUTE));
        assert_ne!(schedule(7, ALL, 40, MINUTE), schedule(8, ALL, 40, MINUTE));
    }

    #[test]
    fn the_first_faults_are_one_of_each_kind() {
        let drawn = schedule(3, ALL, ALL.len(), MINUTE);
        for (kind, ..) in ALL {
            assert!(drawn.iter().any(|fault| fault.kind == *kind), "{kind:?} is missing");
        }
    }

    #[test]
    fn what_excludes_each_other_is_never_under_way_at_once() {
        let drawn = schedule(11, ALL, 300, MINUTE);
        for (index, one) in drawn.iter().enumerate() {
            for other in &drawn[index + 1..] {
                let together = other.at < one.ends() && one.at < other.ends();
                assert!(!together || !excludes(one, other), "{one:?} with {other:?}");
            }
        }
    }
}
