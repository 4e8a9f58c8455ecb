//! How the nodes of a simulation are set up, and how much happens to them.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use service_kit::settings::Environment;
use service_kit::tokens::Verifier;
use signal_node::config::{Config, SCHEMA};
use signal_node::log::Retention;
use signal_node::session::SessionSettings;

use crate::client::{Behaviour, Pace, Profile};
use crate::cluster::SECRET;
use crate::history::{FaultKind, RunSettings, micros};
use crate::nemesis::FaultWeights;

/// Nothing that the nodes allow is shorter, so that faults outlast the lease.
const LEASE: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(11);
/// More members than ever want in.
const AMPLE: usize = 64;
/// One seed in so many loses everything that the log held.
const WIPES: u64 = 5;
/// One seed in so many keeps so little of the log that some who come back need a snapshot.
const FORGETS: u64 = 3;

/// What may happen in every simulation: kind, weight, shortest and longest duration (ms).
const KEEPING: FaultWeights = &[
    (FaultKind::KillNode, 5, 300, 3_000),
    (FaultKind::StopNode, 3, 500, 5_000),
    (FaultKind::RestartNode, 2, 0, 1_000),
    (FaultKind::CutClients, 3, 0, 0),
    (FaultKind::HalfCloseClients, 2, 0, 0),
    (FaultKind::StallClients, 3, 500, 5_000),
    (FaultKind::CutRedis, 4, 0, 0),
    (FaultKind::HalfCloseRedis, 4, 200, 4_000),
    (FaultKind::StallRedisLink, 3, 300, 5_000),
    (FaultKind::Partition, 3, 300, 5_000),
    (FaultKind::StallRedis, 2, 300, 3_000),
    (FaultKind::KillRedis, 2, 200, 2_000),
    (FaultKind::OutOfMemory, 3, 300, 9_000),
    (FaultKind::StepClock, 3, 300, 6_000),
];

/// What may happen when the log loses everything: nothing that costs a socket. Who has none then is
/// known to nobody any more, and what it is promised ends there.
const LOSING: FaultWeights = &[
    (FaultKind::WipeRedis, 5, 200, 2_000),
    (FaultKind::CutRedis, 3, 0, 0),
    (FaultKind::HalfCloseRedis, 2, 200, 3_000),
    (FaultKind::StallRedisLink, 3, 300, 3_000),
    (FaultKind::Partition, 2, 300, 3_000),
];

/// What a seed makes of a simulation.
pub(super) struct Settings {
    pub(super) lease: Duration,
    pub(super) retention: Retention,
    pub(super) sessions: SessionSettings,
    pub(super) verifier: Arc<Verifier>,
    pub(super) run: RunSettings,
    pub(super) weights: FaultWeights,
    pub(super) faults: usize,
    /// Whether Redis may come back with a snapshot rather than with nothing.
    pub(super) has_snapshots: bool,
}

/// From this seed on a loss may leave a snapshot of some seconds ago. Not all promises hold then: docs/RELIABILITY.md.
const SNAPSHOTS_FROM: u64 = 1_000_000_000;

impl Settings {
    /// Reads them as a node does.
    ///
    /// # Panics
    /// When a node would not start with them.
    pub(super) fn new(seed: u64) -> Self {
        let wipes = seed.is_multiple_of(WIPES);
        let capacity = if wipes { AMPLE } else { 4 };
        let config = config(capacity, seed.is_multiple_of(FORGETS));
        Self {
            lease: config.lease,
            retention: config.retention,
            sessions: config.sessions,
            verifier: Arc::new(config.verifier),
            run: run_settings(seed, capacity),
            weights: if wipes { LOSING } else { KEEPING },
            faults: Rng::with_seed(seed).usize(5..=10),
            has_snapshots: seed >= SNAPSHOTS_FROM,
        }
    }

    /// Draws who takes part: those who stay, and those who come and go.
    pub(super) fn profiles(&self) -> (Vec<Profile>, Vec<Profile>) {
        let mut rng = Rng::with_seed(self.run.seed);
        let rooms = rng.u32(1..=2);
        let pace = Pace { every: Duration::from_millis(rng.u64(300..=1_200)), burst: 2 };
        let profile = |room, behaviour| Profile {
            room,
            pace: Some(pace),
            behaviour,
            ballast: 0,
            endpoint: None,
        };
        let staying = if rooms == 1 { rng.usize(2..=4) } else { 2 };
        let stay = (0..rooms).flat_map(|room| vec![profile(room, Behaviour::Stays); staying]);
        let churn = (0..rooms).flat_map(|room| vec![profile(room, Behaviour::Churns); 5 - staying]);
        let churning = churn.take(6 / rooms as usize - 1);
        (stay.collect(), churning.collect())
    }
}

fn config(capacity: usize, forgets: bool) -> Config {
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    let environment: Environment = [
        ("JWT_SECRET", SECRET.to_owned()),
        ("LEASE", seconds(LEASE)),
        ("GRACE", seconds(GRACE)),
        ("PING", seconds(PING)),
        ("ROOM_CAPACITY", capacity.to_string()),
        ("LOG_LENGTH", if forgets { "40" } else { "16384" }.to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (format!("SIGNAL_NODE_{name}"), value))
    .collect();
    let matches = SCHEMA.command().get_matches_from(["signal-node"]);
    match Config::read(&SCHEMA.resolve(&matches, &environment)) {
        Ok(config) => config,
        Err(faults) => panic!("a node would not start with these settings: {faults}"),
    }
}

fn run_settings(seed: u64, capacity: usize) -> RunSettings {
    RunSettings {
        scenario: "simulate".to_owned(),
        seed,
        capacity,
        lease: micros(LEASE),
        grace: micros(GRACE),
        ping: micros(PING),
    }
}
