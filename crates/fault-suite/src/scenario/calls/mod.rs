//! Calls through the one address of a cluster that another program runs and breaks, such as the Service of a release in
//! Kubernetes (`deploy/kubernetes`).
//!
//! That program writes `fault KIND` and `healed` to the standard input, and closes it when the calls may end.

mod figures;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use super::rig::{settle, until};
use super::{ScenarioError, ScenarioSettings};
use crate::check;
use crate::client::{Behaviour, Client, Context, Counters, Pace, Phase, Profile};
use crate::history::{FaultKind, History, RunSettings, What};

pub use figures::CallFigures;
use service::Service;

/// Clients that connect for the first time.
const GATHER_WITHIN: Duration = Duration::from_secs(60);
/// Clients that come back once nothing is broken any more.
const RETURN_WITHIN: Duration = Duration::from_secs(90);
/// All is quiet when nothing arrived for this long.
const QUIET: Duration = Duration::from_secs(2);

/// How much is said where.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    pub address: SocketAddr,
    /// Rooms of two members.
    pub pairs: u32,
    /// Signals per second of each member.
    pub rate: f64,
    pub seed: u64,
}

/// What the calls came to.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Serialize)]
pub struct CallReport {
    #[serde(flatten)]
    pub figures: CallFigures,
    /// The first violations of the promises of docs/PROTOCOL.md, by all checks.
    pub violations: Vec<String>,
    /// Why the calls did not come to their end, if so.
    pub failure: Option<String>,
}

/// So many violations are told in words.
const WORDS: usize = 8;

/// Makes calls until the standard input ends, and judges them.
pub async fn calls(settings: &Calls) -> (CallReport, History) {
    let service = Service::new(settings.address);
    let failed_dials = service.failed_dials();
    let context = Arc::new(Context::new(service, settings.seed));
    let clients = start(&context, settings);
    let ended = run(&context, clients.len() as u64).await;
    context.phase.send_replace(Phase::End);
    for client in clients.into_iter().filter(|_| ended.is_ok()) {
        client.ended().await;
    }
    let history = context.recorder.finish(run_settings(settings.seed));
    let figures = CallFigures::new(&history, failed_dials.count());
    let failure = ended.err().map(|error| error.to_string());
    (CallReport { figures, violations: violations(&history), failure }, history)
}

fn start(context: &Arc<Context>, settings: &Calls) -> Vec<Client> {
    // Rooms of an earlier run may hold its members still.
    let first_room = u32::try_from(settings.seed).unwrap_or_default() / 2;
    let pace = Pace { every: Duration::from_secs_f64(1.0 / settings.rate), burst: 1 };
    let profile = |number| Profile {
        room: first_room + number / 2,
        pace: Some(pace),
        behaviour: Behaviour::Stays,
        ballast: 0,
        endpoint: None,
    };
    (0..settings.pairs * 2).map(|number| Client::start(context, number, profile(number))).collect()
}

async fn run(context: &Context, clients: u64) -> Result<(), ScenarioError> {
    let all_in = |counters: &Counters| Counters::read(&counters.joined) >= clients;
    until(context, "all clients are in their rooms", GATHER_WITHIN, all_in).await?;
    println!(r#"{{"ready":true}}"#);
    context.phase.send_replace(Phase::Load);
    note_faults(context, input_lines()).await;
    until(context, "all clients are back in their rooms", RETURN_WITHIN, all_in).await?;
    settle(context, QUIET, RETURN_WITHIN).await?;
    context.phase.send_replace(Phase::Report);
    let reported = |counters: &Counters| Counters::read(&counters.reported) >= clients;
    until(context, "rosters are noted", RETURN_WITHIN, reported).await
}

/// Reads the standard input by a thread of its own, since reads of it cannot be given up.
fn input_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.map_while(|line| sender.blocking_send(line).ok()).for_each(drop);
    });
    lines
}

/// Notes what the other program does to the cluster, until it closes the input.
async fn note_faults(context: &Context, mut lines: mpsc::Receiver<String>) {
    let mut fault = 0;
    while let Some(line) = lines.recv().await {
        match event(&line, &mut fault) {
            Some(what) => context.recorder.suite().note(what),
            None => {
                eprintln!("fault-suite: {line:?} is no fault: write `fault KIND` or `healed`");
            }
        }
    }
}

/// Reads one line; `fault` counts the faults.
fn event(line: &str, fault: &mut u32) -> Option<What> {
    if line == "healed" {
        return Some(What::Healed { fault: *fault });
    }
    let kind = kind_of(line.strip_prefix("fault ")?)?;
    *fault += 1;
    Some(What::Fault { fault: *fault, kind, node: None })
}

fn kind_of(name: &str) -> Option<FaultKind> {
    serde_json::from_value(name.into()).ok()
}

fn violations(history: &History) -> Vec<String> {
    let verdicts = check::all(history).into_iter();
    let words = verdicts.flat_map(|verdict| {
        let check = verdict.check;
        verdict.violations.into_iter().map(move |violation| format!("{check}: {violation}"))
    });
    words.take(WORDS).collect()
}

fn run_settings(seed: u64) -> RunSettings {
    super::rig::run_settings("calls", seed, &ScenarioSettings::default())
}
