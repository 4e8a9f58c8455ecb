//! Good clients come and go before an attack and during it, and the memory of processes is noted: what
//! `check/under_attack.rs` compares.

mod joiner;
mod raw_member;

pub(crate) use raw_member::RawMember;

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{Rig, ScenarioError};
use crate::check::AttackEffect;
use crate::client::{Behaviour, Pace, Phase, Profile};
use crate::cluster::Cluster;
use crate::history::{Log, What, micros};
use crate::report::{Figure, count};
use joiner::Joiner;

/// How long good members take to be in their rooms, and to settle at the end.
pub(super) const WITHIN: Duration = Duration::from_secs(60);

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long the two parts of a run take, and what is noise in them.
#[derive(Clone, Copy, Debug)]
pub struct AttackPlan {
    /// Before the attack.
    pub quiet: Duration,
    /// The attack.
    pub length: Duration,
    /// Good clients that come and go at once.
    pub joiners: u32,
    /// A p99 of joins below this counts as this.
    pub floor: Duration,
}

/// Returns one of the addresses that attacks come from. All of them are in one network (IPv4 by /24), and good clients are
/// in another one: 127.0.0.0/24.
pub(super) fn attacker(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, host)
}

/// Has three good members join each of these rooms and talk.
pub(super) async fn gather(rig: &mut Rig, rooms: u32) -> Result<(), ScenarioError> {
    let pace = Pace { every: Duration::from_secs(1), burst: 5 };
    let good = |number: u32| Profile {
        room: number % rooms,
        pace: Some(pace),
        behaviour: Behaviour::Stays,
        ballast: 0,
        endpoint: None,
    };
    rig.gather((0..3 * rooms).map(good), WITHIN).await?;
    rig.phase(Phase::Load);
    Ok(())
}

/// Has good clients come and go in these rooms: while it is quiet, then while `attack` is under way, which is given its end.
pub(super) async fn compare<T>(
    rig: &Rig,
    rooms: u32,
    plan: &AttackPlan,
    attack: impl AsyncFnOnce(Instant) -> T,
) -> T {
    let log = rig.context.recorder.suite().clone();
    let over = watch::Sender::new(false);
    let joiners = (0..plan.joiners).map(|number| Joiner::new(rig, number, rooms));
    let mut joiners: JoinSet<_> = joiners.map(|joiner| joiner.live(over.subscribe())).collect();
    let both = async {
        sleep(plan.quiet).await;
        log.note(What::Attack { floor: micros(plan.floor) });
        let done = attack(Instant::now() + plan.length).await;
        log.note(What::AttackOver);
        over.send_replace(true);
        done
    };
    let done = tokio::select! {
        done = both => done,
        never = note_memory(&rig.cluster, &log) => match never {},
    };
    while let Some(ended) = joiners.join_next().await {
        ended.expect("a joiner does not panic");
    }
    done
}

/// Notes the memory of all processes, until it is dropped.
async fn note_memory(cluster: &Cluster, log: &Log) -> Infallible {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for (process, bytes) in cluster.resident() {
            log.note(What::Memory { process, bytes });
        }
    }
}

/// What the check compares, for people.
pub(super) fn figures(effect: Option<&AttackEffect>) -> Vec<Figure> {
    let Some(effect) = effect else { return Vec::new() };
    let mut figures = vec![
        Figure::told("joins of good clients before", count(effect.quiet.attempts), ""),
        Figure::told("their p99 before", effect.quiet.p99_ms, "ms"),
        Figure::told(
            "joins of good clients during the attack",
            count(effect.attacked.attempts),
            "",
        ),
        Figure::at_least(
            "of these succeeded",
            effect.attacked.succeeded,
            AttackEffect::SUCCEED,
            "%",
        ),
        Figure::at_most(
            "their p99",
            effect.attacked.p99_ms,
            effect.baseline_ms * AttackEffect::SLOWER,
            "ms",
        ),
        Figure::at_most("memory of a node", effect.largest(), AttackEffect::LARGER, "times"),
    ];
    let service = effect.growth.get("credentials");
    figures
        .extend(service.map(|it| Figure::told("memory of the credential service", *it, "times")));
    figures
}
