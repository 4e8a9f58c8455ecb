//! Members who mean harm among those who do not: a flood at one of them, a leave and a join without a break, frames that
//! are wrong, rooms without an end, and a ban that is to be escaped. Good members notice none of it, and others get in as
//! before.

mod attacks;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::attacks::{
    Attack, Damage, ban_and_escape, come_and_go, flood, open_rooms, send_wrong_frames,
};
use super::measure::{count_events, latencies};
use super::under_attack::{AttackPlan, WITHIN, compare, figures as effect_figures, gather};
use super::{Options, Report, Rig, ScenarioError, ScenarioSettings, stage};
use crate::check::AttackEffect;
use crate::history::{History, What};
use crate::report::{Figure, count};

/// Rooms, each with three good members and one of each kind of bad ones.
const ROOMS: u32 = 2;
/// Rooms that a subject may have on a node: few enough for a run of seconds.
const ROOMS_OF_A_SUBJECT: usize = 16;
/// Members of a room; good and bad ones fit in.
const CAPACITY: usize = 16;

/// What is missing in a negative twin: the scenario must find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// The bounds on what a member may say.
    Limits,
    /// The ban of the one who is removed.
    Ban,
    /// The bound on the rooms of a subject.
    Rooms,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct BadMembers {
    /// How long the quiet time and the attack take.
    pub plan: AttackPlan,
    /// What is missing, in a twin.
    pub without: Option<Without>,
}

fn settings(plan: BadMembers) -> ScenarioSettings {
    let mut settings = ScenarioSettings { capacity: CAPACITY, ..ScenarioSettings::default() };
    if plan.without == Some(Without::Limits) {
        let limits = [
            ("SEND_RATE", "1GiB/s,burst=64KiB"),
            ("FANOUT", "1GiB/s,burst=1GiB"),
            ("OUTBOX_BYTES", "128KiB"),
        ];
        settings.extra.extend(limits.map(|(name, value)| (name, value.to_owned())));
    }
    let rooms = if plan.without == Some(Without::Rooms) { 1_000_000 } else { ROOMS_OF_A_SUBJECT };
    settings.extra.push(("ROOMS_PER_CLIENT", rooms.to_string()));
    settings
}

/// Runs it.
pub async fn bad_members(options: &Options, plan: &BadMembers) -> Report {
    let settings = settings(*plan);
    let (history, ended) = stage("bad-members", options, &settings, async |rig| {
        attacked(rig, options.seed, plan).await
    })
    .await;
    Report::new("bad-members", options, history, ended, figures)
}

async fn attacked(rig: &mut Rig, seed: u64, plan: &BadMembers) -> Result<Damage, ScenarioError> {
    gather(rig, ROOMS).await?;
    let bans = plan.without != Some(Without::Ban);
    let attack = async |until: Instant| attack(rig, until, (seed, bans)).await;
    let damage = compare(rig, ROOMS, &plan.plan, attack).await;
    rig.close(WITHIN).await?;
    Ok(damage)
}

async fn attack(rig: &Rig, until: Instant, (seed, bans): (u64, bool)) -> Damage {
    let mut rng = Rng::with_seed(seed);
    let attacks = (0..ROOMS).map(|room| {
        let mut attack = |kind| Attack::new(rig, room, kind, until, &mut rng);
        let (flooder, flapper) = (attack("flooder"), attack("flapper"));
        let (stammerer, escaper) = (attack("stammerer"), attack("escaper"));
        let opener = attack("opener");
        async move {
            let (floods, flaps, frames, attempts, rooms) = tokio::join!(
                flood(flooder),
                come_and_go(flapper),
                send_wrong_frames(stammerer),
                ban_and_escape(escaper, bans),
                open_rooms(opener)
            );
            floods + flaps + frames + attempts + rooms
        }
    });
    let mut attacks: JoinSet<_> = attacks.collect();
    let mut damage = Damage::default();
    while let Some(ended) = attacks.join_next().await {
        damage += ended.expect("an attack does not panic");
    }
    damage
}

fn figures(history: &History, damage: Damage) -> Vec<Figure> {
    let closed = count_events(history, |what| matches!(what, What::Closed { .. }));
    let rooms = count(usize::try_from(ROOMS).unwrap_or_default());
    let p99 = latencies(history, 0, u64::MAX).ms(99);
    let mut figures = effect_figures(AttackEffect::of(history).as_ref());
    figures.extend([
        Figure::at_most("sockets that good members lost", closed, 0.0, ""),
        Figure::at_least("signals of floods refused", count(damage.refused), rooms, ""),
        Figure::at_least("leaves and joins in turn", count(damage.joins), rooms, ""),
        Figure::at_least("sockets closed for wrong frames", count(damage.closed), rooms, ""),
        Figure::at_least("attempts to escape a ban", count(damage.attempts), rooms, ""),
        Figure::at_most("of these that got in", count(damage.escapes), 0.0, ""),
        Figure::told("rooms that a subject opened", count(damage.rooms), ""),
        Figure::at_least("further rooms that it was refused", count(damage.refused_rooms), 1.0, ""),
        Figure::told("delivery between good members, p99", p99, "ms"),
    ]);
    figures
}
