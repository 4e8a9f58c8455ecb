//! `kill -9` of nodes: how soon their clients are back, and how soon those who do not come back
//! are gone.

use std::collections::HashMap;
use std::time::Duration;

use super::measure::{NEVER, Times, count_events, faults, returns};
use super::{Options, Report, Rig, ScenarioError, ScenarioSettings, stage};
use crate::client::{Behaviour, Counters, Pace, Phase, Profile};
use crate::cluster::NODES;
use crate::history::{FaultKind, History, LeaveReason, What};
use crate::nemesis::{Planned, execute};
use crate::report::{Figure, count};

/// Rooms with one member on each node.
const ROOMS: u32 = 100;
/// How often each node is killed.
const ROUNDS: usize = 2;

fn pace() -> Pace {
    Pace { every: Duration::from_secs(2), burst: 4 }
}

fn profiles(vanishing: Option<usize>) -> impl Iterator<Item = Profile> {
    (0..ROOMS).flat_map(move |room| {
        (0..NODES).map(move |node| {
            let vanishes = vanishing == Some(node);
            let behaviour = if vanishes { Behaviour::Vanishes } else { Behaviour::Stays };
            Profile { room, pace: Some(pace()), behaviour, ballast: 0, endpoint: Some(node) }
        })
    })
}

/// Kills each node in turn and measures how long its clients take to be back in their rooms.
pub async fn kill(options: &Options) -> Report {
    let settings = ScenarioSettings::default();
    let (history, ended) = stage("kill", options, &settings, async |rig| killed(rig).await).await;
    Report::new("kill", options, history, ended, |history, ()| {
        let times = returns(history);
        vec![
            Figure::at_least("clients whose node was killed", count(times.len()), 1.0, ""),
            Figure::told("back in their rooms, p50", times.seconds(50), "s"),
            Figure::at_most("back in their rooms, p99", times.seconds(99), 3.0, "s"),
            Figure::at_most("`peer_left` seen", count_events(history, is_removal), 0.0, ""),
        ]
    })
}

pub(super) fn is_removal(what: &What) -> bool {
    matches!(what, What::PeerLeft { .. })
}

async fn killed(rig: &mut Rig) -> Result<(), ScenarioError> {
    rig.gather(profiles(None), Duration::from_secs(60)).await?;
    rig.phase(Phase::Load);
    let every = Duration::from_secs(12);
    let begin = Duration::from_secs(3);
    let kills = (0..ROUNDS * NODES).map(|index| {
        let at = begin + every * u32::try_from(index).unwrap_or_default();
        Planned::of(FaultKind::KillNode, at, Duration::from_secs(6)).on(index % NODES)
    });
    let kills: Vec<_> = kills.collect();
    execute(&mut rig.cluster, &kills, rig.context.recorder.suite()).await?;
    rig.close(Duration::from_secs(60)).await
}

/// Kills a node whose clients do not come back, and measures when the others are told.
pub async fn ghosts(options: &Options) -> Report {
    let settings = ScenarioSettings::default();
    let (history, ended) =
        stage("ghosts", options, &settings, async |rig| ghosts_of_a_kill(rig).await).await;
    let most = (settings.lease + settings.grace).as_secs_f64() + 2.0;
    Report::new("ghosts", options, history, ended, |history, ()| {
        let (away, gone) = departures(history);
        vec![
            Figure::told("observers of a ghost", count(gone.len()), ""),
            Figure::told("ghosts of a killed node told `away`, p99", away.seconds(99), "s"),
            Figure::told("ghosts of a killed node gone, p50", gone.seconds(50), "s"),
            Figure::at_most("ghosts of a killed node gone, the last", gone.seconds(100), most, "s"),
        ]
    })
}

async fn ghosts_of_a_kill(rig: &mut Rig) -> Result<(), ScenarioError> {
    rig.gather(profiles(Some(0)), Duration::from_secs(60)).await?;
    rig.phase(Phase::Load);
    // Until long after the last ghost must be gone; the node stays dead as long.
    let lasts = Duration::from_secs(50);
    let killing = Planned::of(FaultKind::KillNode, Duration::from_secs(3), lasts).on(0);
    execute(&mut rig.cluster, &[killing], rig.context.recorder.suite()).await?;
    let left = u64::from(ROOMS) * (NODES as u64 - 1);
    rig.until("the others are in their rooms", Duration::from_secs(60), |counters| {
        Counters::read(&counters.joined) >= left
    })
    .await?;
    rig.close_with(left, Duration::from_secs(60)).await
}

/// From the kill: when each other member was told that a ghost is away, and that it is gone.
fn departures(history: &History) -> (Times, Times) {
    let killed = faults(history, FaultKind::KillNode).first().map_or(0, |kill| kill.from);
    let pairs = u64::from(ROOMS) * (NODES as u64 - 1);
    let mut away = HashMap::new();
    let mut gone = HashMap::new();
    for event in history.events.iter().filter(|event| event.at >= killed) {
        match event.what {
            What::PeerAway { peer, away: true, .. } => {
                away.entry((event.who, peer)).or_insert(event.at - killed);
            }
            What::PeerLeft { peer, reason: LeaveReason::Timeout, .. } => {
                gone.entry((event.who, peer)).or_insert(event.at - killed);
            }
            _ => {}
        }
    }
    let complete = |seen: HashMap<_, u64>| {
        let missing = usize::try_from(pairs).unwrap_or_default().saturating_sub(seen.len());
        seen.into_values().chain(std::iter::repeat_n(NEVER, missing)).collect()
    };
    (complete(away), complete(gone))
}
