//! A cluster with clients on it, from its start to its history.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep};

use super::ScenarioError;
use crate::client::{Client, Context, Counters, Phase, Profile};
use crate::cluster::{Cluster, ClusterSettings, Persistence};
use crate::history::{History, RunSettings, What, micros};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// All is quiet when nothing arrived for this long.
const QUIET: Duration = Duration::from_secs(2);
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What the command line says about every run.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct Options {
    /// Of everything that is drawn.
    pub seed: u64,
    /// The program of the nodes.
    pub binary: PathBuf,
    /// Where logs, data and histories go.
    pub folder: PathBuf,
    pub log: String,
    /// Where the history goes, if it is wanted in any case.
    pub history: Option<PathBuf>,
}

/// What a scenario wants of the nodes.
#[derive(Clone, Debug)]
pub struct ScenarioSettings {
    /// What Redis writes to disk.
    pub persistence: Persistence,
    /// A node silent for this long is suspected.
    pub lease: Duration,
    /// How long a lost socket may come back.
    pub grace: Duration,
    /// How often a silent socket is pinged.
    pub ping: Duration,
    /// Members of a room.
    pub capacity: usize,
    /// Whether the nodes use a Redis Cluster.
    pub is_sharded: bool,
    /// Whether nodes ask a credential service for ICE servers.
    pub has_credentials: bool,
    /// Further settings of the nodes, without their prefix.
    pub extra: Vec<(&'static str, String)>,
}

impl Default for ScenarioSettings {
    /// The node's own defaults, and a short drain.
    fn default() -> Self {
        Self {
            persistence: Persistence::None,
            lease: Duration::from_secs(6),
            grace: Duration::from_secs(30),
            ping: Duration::from_secs(10),
            capacity: 64,
            is_sharded: false,
            has_credentials: false,
            extra: vec![("DRAIN_DELAY", "1s".to_owned())],
        }
    }
}

/// A running cluster and its clients.
#[expect(missing_docs, reason = "the names say it all")]
pub struct Rig {
    pub cluster: Cluster,
    pub context: Arc<Context>,
    clients: Vec<Client>,
    run_settings: RunSettings,
}

impl Rig {
    /// Starts a cluster.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn start(
        scenario: &str,
        options: &Options,
        settings: &ScenarioSettings,
    ) -> Result<Self, ScenarioError> {
        let folder = options.folder.join(scenario);
        std::fs::create_dir_all(&folder).map_err(ScenarioError::Folder)?;
        let extra = settings.extra.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let cluster_settings = ClusterSettings {
            binary: options.binary.clone(),
            folder,
            persistence: settings.persistence,
            lease: settings.lease,
            grace: settings.grace,
            ping: settings.ping,
            capacity: settings.capacity,
            log: options.log.clone(),
            is_sharded: settings.is_sharded,
            has_credentials: settings.has_credentials,
            extra: extra.collect(),
        };
        let cluster = Cluster::start(&cluster_settings).await?;
        let context = Arc::new(Context::new(cluster.proxy_addresses(), options.seed));
        let run_settings = run_settings(scenario, options.seed, settings);
        Ok(Self { cluster, context, clients: Vec::new(), run_settings })
    }

    /// Starts clients and waits until all of them are in their rooms.
    ///
    /// # Errors
    /// When they are not within the time.
    pub async fn gather(
        &mut self,
        profiles: impl IntoIterator<Item = Profile>,
        within: Duration,
    ) -> Result<(), ScenarioError> {
        self.add(profiles);
        let all = self.clients.len() as u64;
        self.until("all clients are in their rooms", within, |counters| {
            Counters::read(&counters.joined) >= all
        })
        .await
    }

    /// Starts clients and does not wait for them.
    pub fn add(&mut self, profiles: impl IntoIterator<Item = Profile>) {
        for profile in profiles {
            let number = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
            self.clients.push(Client::start(&self.context, number, profile));
        }
    }

    /// Tells clients what to do from now on.
    pub fn phase(&self, phase: Phase) {
        self.context.phase.send_replace(phase);
    }

    /// How many clients there are.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Waits until something holds, and tells of the progress meanwhile.
    ///
    /// # Errors
    /// When it does not hold in time.
    pub async fn until(
        &self,
        what: &'static str,
        within: Duration,
        holds: impl Fn(&Counters) -> bool,
    ) -> Result<(), ScenarioError> {
        until(&self.context, what, within, holds).await
    }

    /// Stops sending, and waits until all that is under way has arrived.
    ///
    /// # Errors
    /// When it takes longer than `within`.
    pub async fn settle(&self, quiet: Duration, within: Duration) -> Result<(), ScenarioError> {
        settle(&self.context, quiet, within).await
    }

    /// Sends for a while.
    pub async fn load_for(&self, duration: Duration) {
        self.phase(Phase::Load);
        sleep(duration).await;
    }

    /// Settles with every client in its room.
    ///
    /// # Errors
    /// When that does not come about in time.
    pub async fn close(&self, within: Duration) -> Result<(), ScenarioError> {
        self.close_with(self.clients.len() as u64, within).await
    }

    /// Settles with at least so many clients in their rooms.
    ///
    /// # Errors
    /// When that does not come about in time.
    pub async fn close_with(&self, least: u64, within: Duration) -> Result<(), ScenarioError> {
        let all_in = |counters: &Counters| Counters::read(&counters.joined) >= least;
        self.until("all who stay are in their rooms", within, all_in).await?;
        self.settle(QUIET, within).await
    }

    /// Has clients note their rosters, and notes the keys of Redis that never end.
    ///
    /// # Errors
    /// When some do not answer.
    pub async fn report(&self) -> Result<(), ScenarioError> {
        let joined = Counters::read(&self.context.counters.joined);
        self.phase(Phase::Report);
        self.until("rosters are noted", Duration::from_secs(20), |counters| {
            Counters::read(&counters.reported) >= joined
        })
        .await?;
        let keys = self.cluster.endless_keys().await?;
        let keys = keys.into_iter().map(String::into_boxed_str).collect();
        self.context.recorder.suite().note(What::EndlessKeys { keys });
        Ok(())
    }

    /// Ends clients and cluster, and returns what happened.
    pub async fn finish(mut self) -> History {
        self.phase(Phase::End);
        for client in std::mem::take(&mut self.clients) {
            client.ended().await;
        }
        self.context.recorder.finish(self.run_settings.clone())
    }

    /// What happened so far, where the run cannot go on.
    #[must_use]
    pub fn abandon(self) -> History {
        self.context.recorder.finish(self.run_settings.clone())
    }
}

/// Waits until something holds of the counts of a run, and tells of the progress meanwhile.
///
/// # Errors
/// When it does not hold in time.
pub(super) async fn until(
    context: &Context,
    what: &'static str,
    within: Duration,
    holds: impl Fn(&Counters) -> bool,
) -> Result<(), ScenarioError> {
    let begun = Instant::now();
    let mut logged_at = begun;
    let mut ticks = interval(LOOK_EVERY);
    while !holds(&context.counters) {
        if begun.elapsed() > within {
            return Err(ScenarioError::Late(what, within));
        }
        if logged_at.elapsed() > TELL_EVERY {
            logged_at = Instant::now();
            tell(context, what, begun.elapsed());
        }
        ticks.tick().await;
    }
    Ok(())
}

/// Stops sending, and waits until all that is under way has arrived and nothing arrived for `quiet`.
///
/// # Errors
/// When it takes longer than `within`.
pub(super) async fn settle(
    context: &Context,
    quiet: Duration,
    within: Duration,
) -> Result<(), ScenarioError> {
    context.phase.send_replace(Phase::Settle);
    let begun = Instant::now();
    until(context, "all signals are settled", within, |counters| {
        Counters::read(&counters.unsettled) == 0
    })
    .await?;
    let mut seen = (0, Instant::now());
    let mut ticks = interval(LOOK_EVERY);
    while seen.1.elapsed() < quiet {
        ticks.tick().await;
        let received = Counters::read(&context.counters.received);
        if received != seen.0 {
            seen = (received, Instant::now());
        }
        if begun.elapsed() > within {
            return Err(ScenarioError::Late("all signals have arrived", within));
        }
    }
    Ok(())
}

fn tell(context: &Context, what: &str, waited: Duration) {
    let counters = &context.counters;
    let [joined, sent, unsettled, received] =
        [&counters.joined, &counters.sent, &counters.unsettled, &counters.received]
            .map(Counters::read);
    eprintln!(
        "  {:4.0} s until {what}: {joined} joined, {sent} sent, {unsettled} unsettled, {received} received",
        waited.as_secs_f64()
    );
}

pub(super) fn run_settings(scenario: &str, seed: u64, settings: &ScenarioSettings) -> RunSettings {
    RunSettings {
        scenario: scenario.to_owned(),
        seed,
        capacity: settings.capacity,
        lease: micros(settings.lease),
        grace: micros(settings.grace),
        ping: micros(settings.ping),
    }
}
