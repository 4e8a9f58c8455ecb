//! A cluster in one process and in virtual time: one seed is one interleaving.
//!
//! Three nodes with the real sessions, room workers and heartbeats share one log in memory, each over
//! a way of its own on which calls and answers are late or lost, subscriptions have holes, and whole
//! nodes fall silent. The model clients, the schedule of faults and the checks are those of the real
//! cluster. A minute of it takes a fraction of a second, so that thousands of seeds can be tried.
//!
//! Everything is drawn from the seed but one thing: where several branches of a `select!` are ready,
//! tokio chooses. Built with `--cfg tokio_unstable` that is drawn too, and the same seed is the same
//! history to the microsecond; without it, the same faults meet another interleaving.
//!
//! - `store`: what stands in Redis's place
//! - `link`, `unsteady`, `feed`: the way of one node to it
//! - `wire`, `socket`: the way of clients to nodes
//! - `node`, `world`: the nodes, and what is done to them

mod dice;
mod feed;
mod link;
mod node;
mod run;
mod settings;
mod socket;
mod store;
mod unsteady;
mod wire;
mod world;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, sleep_until};

use crate::check::{self, Verdict};
use crate::client::{Client, Context, Counters, Phase};
use crate::history::{History, What};
use crate::nemesis::{Planned, schedule};
pub use run::{Sum, many};
use settings::Settings;
use world::{SimulatedEndpoints, World};

/// Faults are spread over this time.
const WINDOW: Duration = Duration::from_secs(15);
/// How long the cluster may take to settle when all faults have healed.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// All is quiet when nothing arrived for this long.
const QUIET: Duration = Duration::from_secs(2);
/// What the ghosts of a killed node are granted beyond lease and grace, and a second.
const SLACK: Duration = Duration::from_secs(6);

/// What came of one seed.
pub struct Simulated {
    /// What happened, as far as it went.
    pub history: History,
    /// Why it did not come to its end, if so.
    pub failure: Option<String>,
    /// What the checks found.
    pub verdicts: Vec<Verdict>,
}

impl Simulated {
    /// Tells whether it came to its end with all promises kept.
    #[must_use]
    pub fn held(&self) -> bool {
        let kept = self.verdicts.iter().all(|verdict| verdict.violations.is_empty());
        self.failure.is_none() && kept
    }
}

/// Lives through one seed.
///
/// # Panics
/// When no runtime can be had.
#[must_use]
pub fn simulate(seed: u64) -> Simulated {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    let runtime = builder.build().expect("a runtime without I/O needs nothing");
    let settings = Settings::new(seed);
    let run_settings = settings.run.clone();
    let context = runtime.block_on(async { begin(settings) });
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(&context))));
    let failure = match lived {
        Ok(Ok(())) => None,
        Ok(Err(late)) => Some(format!("not within {SETTLE_WITHIN:?}: {late}")),
        Err(_) => Some("a client met what the protocol does not know".to_owned()),
    };
    let history = context.0.recorder.finish(run_settings);
    let verdicts = check::all(&history);
    Simulated { history, failure, verdicts }
}

/// What a run stands on: what clients share, and the cluster.
type Stage = (Arc<Context>, Arc<World>);

fn begin(settings: Settings) -> Stage {
    let seed = settings.run.seed;
    let world = World::start(settings);
    (Arc::new(Context::new(SimulatedEndpoints(world.clone()), seed)), world)
}

async fn live((context, world): &Stage) -> Result<(), &'static str> {
    let (staying, churning) = world.settings().profiles();
    let stay = staying.len() as u64;
    let profiles = staying.into_iter().chain(churning);
    let start = |(number, profile)| Client::start(context, number, profile);
    let clients: Vec<_> = (0..).zip(profiles).map(start).collect();
    let counters = &context.counters;
    let all_in = || Counters::read(&counters.joined) >= stay;
    until("all who stay are in their rooms", all_in).await?;
    context.phase.send_replace(Phase::Load);
    execute(context, world).await;
    until("all who stay are back in their rooms", all_in).await?;
    context.phase.send_replace(Phase::Settle);
    until("all signals are settled", || Counters::read(&counters.unsettled) == 0).await?;
    quiet(&counters.received).await;
    let run_settings = &world.settings().run;
    // A clock that was set prolongs absences by the grace.
    sleep(Duration::from_micros(run_settings.lease + 2 * run_settings.grace) + SLACK).await;
    let joined = Counters::read(&counters.joined);
    context.phase.send_replace(Phase::Report);
    until("rosters are noted", || Counters::read(&counters.reported) >= joined).await?;
    context.phase.send_replace(Phase::End);
    for client in clients {
        client.ended().await;
    }
    Ok(())
}

/// Injects the faults of the schedule of the seed, and returns when every fault of it has healed.
async fn execute(context: &Context, world: &World) {
    let settings = world.settings();
    let faults = schedule(settings.run.seed, settings.weights, settings.faults, WINDOW);
    let log = context.recorder.suite();
    let begun = Instant::now();
    let begins = faults.iter().enumerate().map(|(index, fault)| Reverse((fault.at, index, false)));
    let mut steps: BinaryHeap<_> = begins.collect();
    while let Some(Reverse((at, index, heals))) = steps.pop() {
        sleep_until(begun + at).await;
        let Planned { kind, node, lasts, .. } = faults[index];
        let fault = u32::try_from(index).unwrap_or(u32::MAX);
        if heals {
            world.heal(&faults[index]).await;
            log.note(What::Healed { fault });
        } else {
            let node = node.and_then(|node| u8::try_from(node).ok());
            log.note(What::Fault { fault, kind, node });
            world.inject(&faults[index]);
            steps.push(Reverse((at + lasts, index, true)));
        }
    }
}

/// Waits until something holds.
async fn until(what: &'static str, holds: impl Fn() -> bool) -> Result<(), &'static str> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > SETTLE_WITHIN {
            return Err(what);
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Waits until a count has stood still for a while.
async fn quiet(count: &AtomicU64) {
    let mut seen = (Counters::read(count), Instant::now());
    while seen.1.elapsed() < QUIET {
        sleep(LOOK_EVERY).await;
        if Counters::read(count) != seen.0 {
            seen = (Counters::read(count), Instant::now());
        }
    }
}
