//! What a production Redis does to a cluster, one kind at a time: it refuses writes, falls silent, changes its role, dies
//! before its replica has everything, forgets keys, comes back with an old snapshot, has its clock set, or is away for longer
//! than the keys of a room live.

use std::time::Duration;

use super::fault_sequence::{FaultSequence, LONG, LONGER, NEW_ROOMS, ROOMS, SHORT};
use super::{Options, Report};
use crate::cluster::NODES;
use crate::history::FaultKind;
use crate::nemesis::Planned;
use crate::proxy::Direction;

/// Longer than the keys of a room live.
const KEYS_GONE: Duration = Duration::from_secs(150);
/// How often keys are lost.
const LOSSES: u64 = 4;

/// Each of the four ways in which Redis refuses writes, for less than a lease and for more than lease and grace.
pub async fn refused_writes(options: &Options) -> Report {
    let ways = [
        FaultKind::TooFewReplicas,
        FaultKind::OutOfMemory,
        FaultKind::ReadOnly,
        FaultKind::FailedSnapshot,
    ];
    let each = ways.into_iter().flat_map(|way| [(way, SHORT), (way, LONG)]);
    FaultSequence::of("refused-writes", each).run(options).await
}

/// Connections that fall silent: in both directions, in each, and those of the subscriptions alone; and a path that stays
/// silent for a while.
pub async fn silent_connection(options: &Options) -> Report {
    let half = one(FaultKind::HalfSilentRedis);
    let instants = [
        one(FaultKind::SilentRedis),
        half.towards(Direction::Forward),
        half.towards(Direction::Back),
        one(FaultKind::SilentSubscriber),
    ];
    let lasting = instants.map(|fault| Planned { lasts: LONGER, ..fault });
    let on_each = instants.into_iter().chain(lasting).enumerate();
    let faults = on_each.map(|(number, fault)| fault.on(number % NODES));
    FaultSequence::planned("silent-connection", faults).run(options).await
}

/// Planned failovers behind the address of Redis, of which the old primaries stay for longer than lease and grace.
pub async fn role_change(options: &Options) -> Report {
    FaultSequence::of("role-change", [(FaultKind::FailOver, LONG); 2]).run(options).await
}

/// A primary killed while members talk, and its replica promoted, at once and some seconds later.
pub async fn lost_primary(options: &Options) -> Report {
    let each = [SHORT, LONGER].map(|lasts| (FaultKind::LosePrimary, lasts));
    FaultSequence::of("lost-primary", each).run(options).await
}

/// Half of all keys deleted, another half each time.
pub async fn lost_keys(options: &Options) -> Report {
    let lost = one(FaultKind::LoseKeys);
    let faults = (0..LOSSES).map(|number| lost.drawn_by(options.seed ^ number));
    FaultSequence::planned("lost-keys", faults).run(options).await
}

/// Redis killed, and back as it was some seconds ago.
pub async fn old_snapshot(options: &Options) -> Report {
    let each = [SHORT, LONGER, LONG].map(|lasts| (FaultKind::OldSnapshot, lasts));
    FaultSequence::of("old-snapshot", each).run(options).await
}

/// The clock of Redis set forward and back, by less and by more than the keys of a room live.
pub async fn clock_steps(options: &Options) -> Report {
    let step = |kind, seconds| Planned::of(kind, Duration::ZERO, LONG).by(seconds);
    let faults = [
        step(FaultKind::StepClock, 5),
        step(FaultKind::StepClock, -5),
        step(FaultKind::StepClock, 50),
        step(FaultKind::StepClock, -50),
        step(FaultKind::LeapClock, 3_600),
        step(FaultKind::LeapClock, -3_600),
    ];
    FaultSequence::planned("clock-steps", faults).run(options).await
}

/// Nodes, and Redis, that get a tenth of their processor.
pub async fn slow(options: &Options) -> Report {
    let nodes = (0..NODES).map(|node| one(FaultKind::SlowNode).on(node));
    let faults = nodes.chain([one(FaultKind::SlowRedis)]).map(|it| Planned { lasts: LONG, ..it });
    FaultSequence::planned("slow", faults).run(options).await
}

/// Nodes that stand still for longer than lease and grace, and go on.
pub async fn long_pause(options: &Options) -> Report {
    let pauses = [0, 1].map(|node| one(FaultKind::StopNode).on(node));
    let faults = pauses.map(|it| Planned { lasts: LONG, ..it });
    FaultSequence::planned("long-pause", faults).run(options).await
}

/// A Redis Cluster under load: slots that move, a master that refuses writes, and one that dies.
pub async fn redis_cluster(options: &Options) -> Report {
    let moving = one(FaultKind::MoveSlots).of_rooms(ROOMS + NEW_ROOMS);
    let refuses = one(FaultKind::RefuseShard);
    let faults = [
        Planned { lasts: 2 * LONG, ..moving },
        Planned { lasts: SHORT, ..refuses },
        Planned { lasts: LONG, ..refuses },
        Planned { lasts: LONGER, ..one(FaultKind::LoseShard) },
    ];
    FaultSequence::planned("redis-cluster", faults).on_shards().run(options).await
}

/// Redis stopped for longer than the keys of a room live.
pub async fn long_outage(options: &Options) -> Report {
    FaultSequence::of("long-outage", [(FaultKind::LongOutage, KEYS_GONE)]).run(options).await
}

fn one(kind: FaultKind) -> Planned {
    Planned::of(kind, Duration::ZERO, Duration::ZERO)
}
