//! Measures `signal-node` beside its peers, and what a cluster of it takes.

mod check;
mod client;
mod compare;
mod echo;
mod figures;
mod floor;
mod growth;
mod machine;
mod measure;
mod options;
mod plot;
mod problem;
mod report;
mod servers;
mod sizing;
mod stats;
mod targets;

use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

fn main() -> ExitCode {
    let matches = options::command().get_matches();
    let runtime = Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(problem::Problem::from).and_then(|runtime| run(&runtime, &matches));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("signal-bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(runtime: &Runtime, matches: &clap::ArgMatches) -> Result<(), problem::Problem> {
    if matches.subcommand_name() == Some("floor") {
        return Ok(runtime.block_on(floor::serve())?);
    }
    if let Some(carrier) = options::echoes(matches) {
        return Ok(runtime.block_on(echo::serve(carrier))?);
    }
    machine::prepare()?;
    runtime.block_on(LocalSet::new().run_until(options::act(matches)))
}
