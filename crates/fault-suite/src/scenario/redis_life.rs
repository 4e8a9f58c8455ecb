//! What a production Redis does to a cluster, one kind at a time: it refuses writes, falls silent, changes its role, comes
//! back with an old snapshot, has its clock set, or is away for longer than the keys of a room live.

use std::time::Duration;

use super::kill::is_removal;
use super::measure::{count_events, faults, first_arrivals, longest_silence};
use super::{Options, Report, Rig, ScenarioError, ScenarioSettings, stage};
use crate::client::{Behaviour, Pace, Phase, Profile};
use crate::cluster::{NODES, Persistence};
use crate::history::{FaultKind, History, What, micros};
use crate::nemesis::{Planned, execute};
use crate::proxy::Direction;
use crate::report::Figure;

/// Rooms with one member on each node.
const ROOMS: u32 = 20;
const LEASE: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(11);
/// Less than the lease.
const SHORT: Duration = Duration::from_secs(1);
/// More than two leases, after which a node must have said what is wrong.
const LONGER: Duration = Duration::from_secs(6);
/// More than lease and grace.
const LONG: Duration = Duration::from_secs(16);
/// Longer than the keys of a room live.
const KEYS_GONE: Duration = Duration::from_secs(150);
/// How long the cluster is left alone between two faults.
const APART: Duration = Duration::from_secs(16);

/// How soon members must hear each other again, from the end of a fault.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);
/// The same where the log was lost or its clock was set, and rooms have to be restored.
const AFTER_LOSS: Duration = Duration::from_secs(10);
/// How long they may hear nothing when connections are silent, beside the time for which new ones are.
const WITHIN_SILENCE: Duration = Duration::from_secs(15);
/// How long they may hear nothing when Redis changes its role.
const WITHIN_FAILOVER: Duration = Duration::from_secs(10);

/// Faults one after the other.
struct FaultSequence {
    name: &'static str,
    faults: Vec<Planned>,
}

impl FaultSequence {
    fn of(name: &'static str, faults: impl IntoIterator<Item = (FaultKind, Duration)>) -> Self {
        Self::planned(name, faults.into_iter().map(|(kind, lasts)| Planned::of(kind, SHORT, lasts)))
    }

    /// Puts faults one after the other, each as long after the end of the one before as it says itself.
    fn planned(name: &'static str, faults: impl IntoIterator<Item = Planned>) -> Self {
        let mut at = Duration::from_secs(2);
        let place = |fault: Planned| {
            let placed = Planned { at, ..fault };
            at += fault.lasts + APART;
            placed
        };
        Self { name, faults: faults.into_iter().map(place).collect() }
    }

    async fn run(self, options: &Options) -> Report {
        let settings = ScenarioSettings {
            persistence: Persistence::AppendOnly,
            lease: LEASE,
            grace: GRACE,
            ping: Duration::from_secs(1),
            ..ScenarioSettings::default()
        };
        let Self { name, faults } = self;
        let (history, ended) =
            stage(name, options, &settings, async |rig| injected(rig, &faults).await).await;
        Report::new(name, options, history, ended, |history, ()| figures(history, &faults))
    }
}

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
    let one = |kind| Planned::of(kind, Duration::ZERO, Duration::ZERO);
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

/// Redis stopped for longer than the keys of a room live.
pub async fn long_outage(options: &Options) -> Report {
    FaultSequence::of("long-outage", [(FaultKind::LongOutage, KEYS_GONE)]).run(options).await
}

fn profiles() -> impl Iterator<Item = Profile> {
    let pace = Pace { every: Duration::from_millis(500), burst: 1 };
    (0..ROOMS).flat_map(move |room| {
        (0..NODES).map(move |node| Profile {
            room,
            pace: Some(pace),
            behaviour: Behaviour::Stays,
            ballast: 0,
            endpoint: Some(node),
        })
    })
}

async fn injected(rig: &mut Rig, faults: &[Planned]) -> Result<(), ScenarioError> {
    rig.gather(profiles(), Duration::from_secs(60)).await?;
    rig.phase(Phase::Load);
    execute(&mut rig.cluster, faults, rig.context.recorder.suite()).await?;
    // A wrong removal happens when the grace after the last fault is over.
    rig.load_for(LEASE + GRACE + SHORT).await;
    rig.close(Duration::from_secs(60)).await
}

fn figures(history: &History, planned: &[Planned]) -> Vec<Figure> {
    let mut kinds: Vec<_> = planned.iter().map(|fault| fault.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut figures: Vec<_> = kinds.iter().filter_map(|kind| of_kind(history, *kind)).collect();
    let seen = |wanted: fn(&What) -> bool| count_events(history, wanted);
    figures.extend([
        Figure::at_most("`peer_left` seen", seen(is_removal), 0.0, ""),
        Figure::told("sockets closed", seen(|what| matches!(what, What::Closed { .. })), ""),
        Figure::told("`unavailable` told", seen(|what| *what == What::Unavailable), ""),
        Figure::told("`reset` told", seen(|what| matches!(what, What::Reset { .. })), ""),
    ]);
    figures
}

/// How long the last client waited at most, over all faults of a kind.
fn of_kind(history: &History, kind: FaultKind) -> Option<Figure> {
    let (what, waited, most): (_, LongestWait, _) = if kind.is_silence() {
        ("longest without delivery beside the fault", beside, WITHIN_SILENCE)
    } else if kind == FaultKind::FailOver {
        ("longest without delivery", throughout, WITHIN_FAILOVER)
    } else if kind.refuses_writes() {
        ("delivery after the fault, the last client", after, AFTER_REFUSAL)
    } else if kind.affects_redis() {
        ("delivery after the fault, the last client", after, AFTER_LOSS)
    } else {
        return None;
    };
    let periods = faults(history, kind);
    let longest = periods.iter().map(|fault| waited(history, fault.from, fault.to));
    let name = format!("{}: {what}", kind.name());
    Some(Figure::at_most(name, longest.fold(0.0, f64::max), most.as_secs_f64(), "s"))
}

/// For how many seconds the last client waited, of a fault from here to there.
type LongestWait = fn(&History, u64, u64) -> f64;

fn clients() -> usize {
    usize::try_from(ROOMS).unwrap_or_default() * NODES
}

fn after(history: &History, _from: u64, to: u64) -> f64 {
    first_arrivals(history, to, clients()).seconds(100)
}

fn throughout(history: &History, from: u64, to: u64) -> f64 {
    longest_silence(history, from, to, clients()).seconds(100)
}

#[expect(clippy::cast_precision_loss, reason = "runs last minutes")]
fn beside(history: &History, from: u64, to: u64) -> f64 {
    let until = to + micros(WITHIN_SILENCE);
    (throughout(history, from, until) - (to - from) as f64 / 1e6).max(0.0)
}
