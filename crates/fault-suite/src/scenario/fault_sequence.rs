//! Faults one after the other, while members of rooms of three, one on each node, talk to each other.

use std::time::Duration;

use tokio::time::sleep;

use super::kill::is_removal;
use super::measure::{count_events, faults, first_arrivals, longest_silence};
use super::{Options, Report, Rig, ScenarioError, ScenarioSettings, stage};
use crate::client::{Behaviour, Pace, Phase, Profile};
use crate::cluster::{NODES, Persistence};
use crate::history::{FaultKind, History, What, micros};
use crate::nemesis::{Planned, execute};
use crate::report::{Figure, count};

/// Rooms with one member on each node.
pub(super) const ROOMS: u32 = 20;
/// Rooms of one member who comes and goes: each time a new room.
pub(super) const NEW_ROOMS: u32 = 6;
const LEASE: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(11);
/// Less than the lease.
pub(super) const SHORT: Duration = Duration::from_secs(1);
/// More than two leases, after which a node must have said what is wrong.
pub(super) const LONGER: Duration = Duration::from_secs(6);
/// More than lease and grace.
pub(super) const LONG: Duration = Duration::from_secs(16);
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
pub(super) struct FaultSequence {
    name: &'static str,
    faults: Vec<Planned>,
    is_sharded: bool,
}

impl FaultSequence {
    pub(super) fn of(
        name: &'static str,
        faults: impl IntoIterator<Item = (FaultKind, Duration)>,
    ) -> Self {
        Self::planned(name, faults.into_iter().map(|(kind, lasts)| Planned::of(kind, SHORT, lasts)))
    }

    /// Puts faults one after the other, each as long after the end of the one before as it says itself.
    pub(super) fn planned(name: &'static str, faults: impl IntoIterator<Item = Planned>) -> Self {
        let mut at = Duration::from_secs(2);
        let place = |fault: Planned| {
            let placed = Planned { at, ..fault };
            at += fault.lasts + APART;
            placed
        };
        Self { name, faults: faults.into_iter().map(place).collect(), is_sharded: false }
    }

    /// Happens to nodes that use a Redis Cluster.
    pub(super) fn on_shards(self) -> Self {
        Self { is_sharded: true, ..self }
    }

    pub(super) async fn run(self, options: &Options) -> Report {
        let settings = ScenarioSettings {
            persistence: Persistence::AppendOnly,
            lease: LEASE,
            grace: GRACE,
            ping: Duration::from_secs(1),
            is_sharded: self.is_sharded,
            ..ScenarioSettings::default()
        };
        let Self { name, faults, .. } = self;
        let (history, ended) =
            stage(name, options, &settings, async |rig| injected(rig, &faults).await).await;
        Report::new(name, options, history, ended, |history, ()| figures(history, &faults))
    }
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

fn comes_and_goes(room: u32) -> Profile {
    let behaviour = Behaviour::Churns;
    Profile { room, pace: None, behaviour, ballast: 0, endpoint: None }
}

async fn injected(rig: &mut Rig, faults: &[Planned]) -> Result<(), ScenarioError> {
    rig.gather(profiles(), Duration::from_secs(60)).await?;
    let slots_move = rig.cluster.shards.is_some();
    if slots_move {
        rig.add((ROOMS..ROOMS + NEW_ROOMS).map(comes_and_goes));
    }
    rig.phase(Phase::Load);
    execute(&mut rig.cluster, faults, rig.context.recorder.suite()).await?;
    // A wrong removal happens when the grace after the last fault is over.
    rig.load_for(LEASE + GRACE + SHORT).await;
    rig.close_with(clients() as u64, Duration::from_secs(60)).await?;
    if slots_move {
        // Whoever came and went last leaves a ghost.
        sleep(LEASE + GRACE + LONGER).await;
    }
    Ok(())
}

fn figures(history: &History, planned: &[Planned]) -> Vec<Figure> {
    let mut kinds: Vec<_> = planned.iter().map(|fault| fault.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut figures: Vec<_> = kinds.iter().filter_map(|kind| of_kind(history, *kind)).collect();
    let seen = |wanted: fn(&What) -> bool| count_events(history, wanted);
    figures.extend([
        Figure::at_most("`peer_left` seen", removals(history), 0.0, ""),
        Figure::told("sockets closed", seen(|what| matches!(what, What::Closed { .. })), ""),
        Figure::told("`unavailable` told", seen(|what| *what == What::Unavailable), ""),
        Figure::told("`reset` told", seen(|what| matches!(what, What::Reset { .. })), ""),
    ]);
    figures
}

/// Removals that those see who stay: who comes and goes meets its own ghosts.
fn removals(history: &History) -> f64 {
    let stays = |who: u32| usize::try_from(who).is_ok_and(|who| who < clients());
    let removals = history.events.iter().filter(|it| stays(it.who) && is_removal(&it.what));
    count(removals.count())
}

/// How long the last client waited at most, over all faults of a kind.
fn of_kind(history: &History, kind: FaultKind) -> Option<Figure> {
    let (what, waited, most): (_, LongestWait, _) = if kind.is_silence() {
        ("longest without delivery beside the fault", beside, WITHIN_SILENCE)
    } else if matches!(kind, FaultKind::FailOver | FaultKind::MoveSlots) {
        ("longest without delivery", throughout, WITHIN_FAILOVER)
    } else if kind.refuses_writes() || kind == FaultKind::RefuseShard {
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
