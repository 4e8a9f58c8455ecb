//! All nodes restarted one after the other, under load.

use std::time::Duration;

use super::kill::is_removal;
use super::measure::{count_events, faults, latencies};
use super::{Options, Report, Rig, ScenarioError, ScenarioSettings, stage};
use crate::client::{Behaviour, Pace, Phase, Profile};
use crate::history::{FaultKind, What};
use crate::nemesis::{Planned, execute};
use crate::report::Figure;

/// Rooms of two that exchange signals.
const CALLS: u32 = 200;
/// All sockets; those not in a call sit in rooms of eight and listen.
const SOCKETS: u32 = 2_000;
/// Members of a room that listens.
const LISTENERS: u32 = 8;

fn profiles() -> impl Iterator<Item = Profile> {
    (0..SOCKETS).map(|number| {
        let calls = number < CALLS * 2;
        let room = if calls { number / 2 } else { CALLS + (number - CALLS * 2) / LISTENERS };
        let pace = calls.then_some(Pace { every: Duration::from_secs(2), burst: 4 });
        Profile { room, pace, behaviour: Behaviour::Stays, ballast: 0, endpoint: None }
    })
}

/// Restarts all nodes in turn and counts what is lost.
pub async fn rolling(options: &Options) -> Report {
    let extra = [("DRAIN_DELAY", "2s"), ("DRAIN_DEADLINE", "20s")];
    let extra = extra.map(|(name, value)| (name, value.to_owned())).to_vec();
    let settings = ScenarioSettings { extra, ..ScenarioSettings::default() };
    let (history, ended) =
        stage("rolling", options, &settings, async |rig| rolled(rig).await).await;
    Report::new("rolling", options, history, ended, |history, ()| {
        let restarts = faults(history, FaultKind::RollingRestart);
        let restart = restarts.first().copied().unwrap_or_default();
        let (from, to) = (restart.from, restart.to);
        let (quiet, during) = (latencies(history, 0, from), latencies(history, from, to));
        let took = Duration::from_micros(to.saturating_sub(from)).as_secs_f64();
        vec![
            Figure::told("sockets", f64::from(SOCKETS), ""),
            Figure::told(
                "signals sent",
                count_events(history, |w| matches!(w, What::Sent { .. })),
                "",
            ),
            Figure::told("restart of all nodes took", took, "s"),
            Figure::at_most("`peer_left` seen", count_events(history, is_removal), 0.0, ""),
            Figure::told(
                "asked to leave by `goaway`",
                count_events(history, |w| *w == What::GoAway),
                "",
            ),
            Figure::told(
                "memberships that were without a socket for a moment",
                count_events(history, |what| matches!(what, What::Closed { .. })),
                "",
            ),
            Figure::told("delivery before, p99", quiet.ms(99), "ms"),
            Figure::told("delivery during the restart, p99", during.ms(99), "ms"),
        ]
    })
}

async fn rolled(rig: &mut Rig) -> Result<(), ScenarioError> {
    rig.gather(profiles(), Duration::from_secs(120)).await?;
    rig.phase(Phase::Load);
    let restart =
        Planned::of(FaultKind::RollingRestart, Duration::from_secs(10), Duration::from_secs(5));
    execute(&mut rig.cluster, &[restart], rig.context.recorder.suite()).await?;
    rig.close(Duration::from_secs(60)).await
}
