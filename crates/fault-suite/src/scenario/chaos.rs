//! Many small rooms exchange signals while everything is broken that can be.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::oneshot;

use super::measure::count_events;
use super::moderation::{Moderated, Moderator};
use super::rig::until;
use super::sdk_members::{SdkMembers, SdkVerdict};
use super::{Options, Report, Rig, ScenarioError, ScenarioSettings, stage};
use crate::client::{Behaviour, Counters, Pace, Phase, Profile};
use crate::cluster::Persistence;
use crate::history::{FaultKind, History, Recovery, What};
use crate::nemesis::{ALL, execute, schedule};
use crate::report::{Figure, count};

/// How much of it.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct Chaos {
    /// Rooms of two to four members who stay.
    pub rooms: u32,
    /// Signals per second and client.
    pub rate: f64,
    /// Go on until so many were sent.
    pub signals: u64,
    pub faults: usize,
    /// How long a lost socket may come back; above ping and 9 s.
    pub grace: Duration,
    /// The faults are spread over this time.
    pub window: Duration,
    /// Users whose pages have the JavaScript SDK, in rooms of three; a multiple of three.
    pub sdk_members: u32,
    /// Kinds of faults that are left out.
    pub without: Vec<FaultKind>,
}

/// Members of a room.
const CAPACITY: usize = 5;
/// Every how many rooms one has more who want in.
const CROWDED_EVERY: u32 = 5;
/// How many come and go in each crowded room.
const CHURNING: usize = 4;
/// Signals of one client come in bursts of so many, as ICE candidates do.
const BURST: u32 = 5;
/// How long the cluster may take to settle when all faults have healed.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// Short times, so that many faults outlast the lease and churning members become ghosts.
fn settings(chaos: &Chaos) -> ScenarioSettings {
    let drain = [("DRAIN_DELAY", "200ms"), ("DRAIN_DEADLINE", "3s")];
    ScenarioSettings {
        persistence: Persistence::AppendOnly,
        lease: Duration::from_secs(2),
        grace: chaos.grace,
        ping: Duration::from_secs(1),
        capacity: CAPACITY,
        is_sharded: false,
        has_credentials: false,
        extra: drain.map(|(name, value)| (name, value.to_owned())).to_vec(),
    }
}

/// Runs it.
pub async fn chaos(options: &Options, chaos: &Chaos) -> Report {
    let (history, ended) =
        stage("chaos", options, &settings(chaos), async |rig| run(rig, options.seed, chaos).await)
            .await;
    Report::new("chaos", options, history, ended, |history, sdk| {
        let mut figures = figures(history, chaos);
        figures.extend(sdk.iter().flat_map(SdkVerdict::figures));
        figures
    })
}

async fn run(rig: &mut Rig, seed: u64, chaos: &Chaos) -> Result<Option<SdkVerdict>, ScenarioError> {
    let mut rng = Rng::with_seed(seed);
    let (staying, churning) = profiles(chaos, &mut rng);
    let stay = staying.len() as u64;
    rig.gather(staying, Duration::from_secs(60)).await?;
    let sdk = match chaos.sdk_members {
        0 => None,
        users => Some(SdkMembers::start(rig, users).await?),
    };
    rig.add(churning);
    rig.phase(Phase::Load);
    break_everything(rig, seed, chaos, stay).await?;
    rig.close_with(stay, SETTLE_WITHIN).await?;
    let verdict = match sdk {
        Some(sdk) => Some(sdk.end().await?),
        None => None,
    };
    ghosts_gone(chaos).await;
    Ok(verdict)
}

/// Injects all faults, and has a back end moderate the rooms, until enough signals are sent as well.
async fn break_everything(
    rig: &mut Rig,
    seed: u64,
    chaos: &Chaos,
    stay: u64,
) -> Result<(), ScenarioError> {
    let moderated = Moderated {
        rooms: chaos.rooms,
        crowded_every: CROWDED_EVERY,
        churning_from: u32::try_from(stay).unwrap_or(u32::MAX),
        capacity: CAPACITY as u64,
    };
    let moderator = Moderator::new(rig, moderated, seed);
    let context = Arc::clone(&rig.context);
    let drawn: Vec<_> =
        ALL.iter().copied().filter(|(kind, ..)| !chaos.without.contains(kind)).collect();
    let faults = schedule(seed, &drawn, chaos.faults, chaos.window);
    let enough = |counters: &Counters| Counters::read(&counters.sent) >= chaos.signals;
    let most = chaos.window * 10 + SETTLE_WITHIN;
    let (over, is_over) = oneshot::channel::<()>();
    let breaking = async {
        let injecting = execute(&mut rig.cluster, &faults, context.recorder.suite());
        let sending = until(&context, "enough signals are sent", most, enough);
        let broken = tokio::join!(injecting, sending);
        // The moderator opens what it has locked, and ends.
        drop(over);
        broken
    };
    let moderating = moderator.run(async { drop(is_over.await) });
    let ((injected, sent), ()) = tokio::join!(breaking, moderating);
    injected?;
    sent
}

/// Waits until whoever vanished must have been removed everywhere, though a clock that was set prolongs absences by the grace.
async fn ghosts_gone(chaos: &Chaos) {
    let ScenarioSettings { lease, grace, .. } = settings(chaos);
    tokio::time::sleep(lease + 2 * grace + Duration::from_secs(6)).await;
}

fn profiles(chaos: &Chaos, rng: &mut Rng) -> (Vec<Profile>, Vec<Profile>) {
    let every = Duration::from_secs_f64(f64::from(BURST) / chaos.rate);
    let profile = |room, behaviour| Profile {
        room,
        pace: Some(Pace { every, burst: BURST }),
        behaviour,
        ballast: 0,
        endpoint: None,
    };
    let sizes = (0..chaos.rooms).map(|room| (room, rng.usize(2..=4)));
    let staying = sizes.flat_map(|(room, size)| vec![profile(room, Behaviour::Stays); size]);
    let crowded = (0..chaos.rooms).step_by(CROWDED_EVERY as usize);
    let churning = crowded.flat_map(|room| vec![profile(room, Behaviour::Churns); CHURNING]);
    (staying.collect(), churning.collect())
}

fn figures(history: &History, wanted: &Chaos) -> Vec<Figure> {
    let total = |wanted: fn(&What) -> bool| count_events(history, wanted);
    let resumed = |recovery| {
        count_events(
            history,
            |what| matches!(what, What::Joined(joined) if joined.recovery == recovery),
        )
    };
    let signals = total(|what| matches!(what, What::Sent { .. }));
    let faults = total(|what| matches!(what, What::Fault { .. }));
    let least = count(usize::try_from(wanted.signals).unwrap_or(usize::MAX));
    vec![
        Figure::at_least("signals sent", signals, least, ""),
        Figure::at_least("faults", faults, count(wanted.faults), ""),
        Figure::told("deliveries", total(|what| matches!(what, What::Received { .. })), ""),
        Figure::told(
            "announcements answered",
            total(|what| matches!(what, What::Announced { .. })),
            "",
        ),
        Figure::told(
            "members removed and banned",
            total(|what| matches!(what, What::Kicked { .. })),
            "",
        ),
        Figure::told("sockets lost", total(|what| matches!(what, What::Closed { .. })), ""),
        Figure::told("resumes answered `replay`", resumed(Recovery::Replay), ""),
        Figure::told("resumes answered `snapshot`", resumed(Recovery::Snapshot), ""),
        Figure::told("`reset` told", total(|what| matches!(what, What::Reset { .. })), ""),
    ]
}
