//! Redis gone for a minute: stopped, or killed and back with nothing.

use std::time::Duration;

use super::kill::is_removal;
use super::measure::{count_events, faults, first_arrivals};
use super::{Options, Report, Rig, ScenarioError, ScenarioSettings, stage};
use crate::client::{Behaviour, Pace, Phase, Profile};
use crate::history::{FaultKind, History, What};
use crate::nemesis::{Planned, execute};
use crate::report::Figure;

/// Rooms of three.
const ROOMS: u32 = 50;
/// Members of each.
const MEMBERS: u32 = 3;
/// How long Redis is gone: longer than lease and grace.
const LASTS: Duration = Duration::from_secs(60);

fn profiles() -> impl Iterator<Item = Profile> {
    let pace = Pace { every: Duration::from_secs(1), burst: 2 };
    (0..ROOMS * MEMBERS).map(move |number| Profile {
        room: number / MEMBERS,
        pace: Some(pace),
        behaviour: Behaviour::Stays,
        ballast: 0,
        endpoint: None,
    })
}

/// Stops Redis for a minute.
pub async fn stall(options: &Options) -> Report {
    outage(options, "outage-stall", FaultKind::StallRedis).await
}

/// Kills Redis and starts it empty a minute later.
pub async fn wipe(options: &Options) -> Report {
    outage(options, "outage-wipe", FaultKind::WipeRedis).await
}

async fn outage(options: &Options, name: &'static str, kind: FaultKind) -> Report {
    let settings = ScenarioSettings::default();
    let (history, ended) =
        stage(name, options, &settings, async |rig| injected(rig, kind).await).await;
    Report::new(name, options, history, ended, |history, ()| figures(history, kind))
}

async fn injected(rig: &mut Rig, kind: FaultKind) -> Result<(), ScenarioError> {
    rig.gather(profiles(), Duration::from_secs(60)).await?;
    rig.phase(Phase::Load);
    let outage = Planned::of(kind, Duration::from_secs(5), LASTS);
    execute(&mut rig.cluster, &[outage], rig.context.recorder.suite()).await?;
    rig.load_for(Duration::from_secs(10)).await;
    if kind == FaultKind::WipeRedis {
        // A client that came back as a new member has left a ghost behind.
        let ScenarioSettings { lease, grace, .. } = ScenarioSettings::default();
        rig.load_for(lease + grace).await;
    }
    rig.close(Duration::from_secs(90)).await
}

fn figures(history: &History, kind: FaultKind) -> Vec<Figure> {
    let back = faults(history, kind).first().map_or(0, |outage| outage.to);
    let clients = usize::try_from(ROOMS * MEMBERS).unwrap_or_default();
    let arrivals = first_arrivals(history, back, clients);
    vec![
        Figure::told("Redis was gone for", LASTS.as_secs_f64(), "s"),
        Figure::told("delivery after its return, p50", arrivals.seconds(50), "s"),
        Figure::at_most(
            "delivery after its return, the last client",
            arrivals.seconds(100),
            2.0,
            "s",
        ),
        Figure::at_most(
            "sockets closed",
            count_events(history, |what| matches!(what, What::Closed { .. })),
            0.0,
            "",
        ),
        Figure::at_most("`peer_left` seen", count_events(history, is_removal), 0.0, ""),
        Figure::told("`unavailable` told", count_events(history, |w| *w == What::Unavailable), ""),
        Figure::told(
            "`reset` told",
            count_events(history, |w| matches!(w, What::Reset { .. })),
            "",
        ),
    ]
}
