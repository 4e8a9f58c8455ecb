//! Members who mean harm among those who do not: a flood at one of them, a leave and a join without a break, frames that
//! are wrong, and a ban that is to be escaped. Good members notice none of it.

mod attacks;
mod member;

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use self::attacks::{Attack, Damage, ban_and_escape, come_and_go, flood, send_wrong_frames};
use super::measure::{count_events, latencies};
use super::{Options, Report, Rig, ScenarioError, ScenarioSettings, stage};
use crate::client::{Behaviour, Pace, Phase, Profile};
use crate::history::{History, What};
use crate::report::{Figure, count};

/// Rooms, each with three good members and one of each kind of bad ones.
const ROOMS: u32 = 2;
/// Members of a room; good and bad ones fit in.
const CAPACITY: usize = 16;
/// How long good members take to be in their rooms, and to settle at the end.
const WITHIN: Duration = Duration::from_secs(60);

/// What is missing in a negative twin: the scenario must find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// The bounds on what a member may say.
    Limits,
    /// The ban of the one who is removed.
    Ban,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct BadMembers {
    /// The attacks go on for so long.
    pub length: Duration,
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
    let pace = Pace { every: Duration::from_secs(1), burst: 5 };
    let good = |number: u32| Profile {
        room: number % ROOMS,
        pace: Some(pace),
        behaviour: Behaviour::Stays,
        ballast: 0,
        endpoint: None,
    };
    rig.gather((0..3 * ROOMS).map(good), WITHIN).await?;
    rig.phase(Phase::Load);
    let mut rng = Rng::with_seed(seed);
    let until = Instant::now() + plan.length;
    let bans = plan.without != Some(Without::Ban);
    let attacks = (0..ROOMS).map(|room| {
        let mut attack = |kind| Attack::new(rig, room, kind, until, &mut rng);
        let (flooder, flapper) = (attack("flooder"), attack("flapper"));
        let (stammerer, escaper) = (attack("stammerer"), attack("escaper"));
        tokio::spawn(async move {
            tokio::join!(
                flood(flooder),
                come_and_go(flapper),
                send_wrong_frames(stammerer),
                ban_and_escape(escaper, bans)
            )
        })
    });
    let attacks: Vec<_> = attacks.collect();
    let mut damage = Damage::default();
    for attack in attacks {
        let (floods, flaps, frames, escapes) = attack.await.expect("an attack does not panic");
        damage += floods + flaps + frames + escapes;
    }
    rig.close(WITHIN).await?;
    Ok(damage)
}

fn figures(history: &History, damage: Damage) -> Vec<Figure> {
    let closed = count_events(history, |what| matches!(what, What::Closed { .. }));
    let rooms = count(usize::try_from(ROOMS).unwrap_or_default());
    let p99 = latencies(history, 0, u64::MAX).ms(99);
    vec![
        Figure::at_most("sockets that good members lost", closed, 0.0, ""),
        Figure::at_least("signals of floods refused", count(damage.refused), rooms, ""),
        Figure::at_least("leaves and joins in turn", count(damage.joins), rooms, ""),
        Figure::at_least("sockets closed for wrong frames", count(damage.closed), rooms, ""),
        Figure::at_least("attempts to escape a ban", count(damage.attempts), rooms, ""),
        Figure::at_most("of these that got in", count(damage.escapes), 0.0, ""),
        Figure::told("delivery between good members, p99", p99, "ms"),
    ]
}
