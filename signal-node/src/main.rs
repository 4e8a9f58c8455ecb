//! The node as a program of its own.

mod token_command;

use std::process::ExitCode;

use clap::Command;
use service_kit::lifecycle::{Exit, Lifecycle};
use service_kit::program::{
    check_config, completions_command, print, print_completions, print_settings, run, serve,
    settings_command,
};
use service_kit::telemetry::announce;
use signal_node::config::{Config, SCHEMA};
use signal_node::doctor;
use signal_node::http::openapi;
use signal_node::node::{Node, StartError};

/// Ten thousand connections leave ten thousand holes; this allocator gives them back (docs/BENCHMARKS.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    run(SCHEMA, command(), |matches, resolved| match matches.subcommand() {
        Some(("check-config", _)) => check_config(resolved, Config::read),
        Some(("token", asked)) => token_command::perform(resolved, asked),
        Some(("completions", asked)) => Ok(print_completions(SCHEMA.program, command(), asked)),
        Some(("settings", _)) => Ok(print_settings(&SCHEMA)),
        Some(("doctor", asked)) => doctor::examine(resolved, asked),
        Some(("openapi", _)) => {
            print(&openapi());
            Ok(Exit::Drained)
        }
        _ => Config::read(resolved).map(start),
    })
}

fn command() -> Command {
    SCHEMA
        .command()
        .subcommand(Command::new("serve").about("Serves; what happens without a command"))
        .subcommand(
            Command::new("check-config").about(
                "Prints the effective settings, secrets masked; exit code 64 with all faults",
            ),
        )
        .subcommand(doctor::command())
        .subcommand(settings_command())
        .subcommand(completions_command())
        .subcommand(
            Command::new("openapi")
                .about("Prints the description of the REST interface, as a node serves it"),
        )
        .subcommand(token_command::command())
}

/// Serves until asked to end.
fn start(config: Config) -> Exit {
    let logging = config.logging.clone();
    serve(SCHEMA.program, &logging, work(config))
}

async fn work(config: Config) -> Result<(), StartError> {
    let life = Lifecycle::new();
    life.follow_signals()?;
    let Some(node) = life.soft.run_until_cancelled(Node::start(config, &life)).await else {
        life.hard.cancel();
        return Ok(());
    };
    let node = node?;
    let addresses = [("public", node.public.to_string()), ("admin", node.admin.to_string())];
    announce(SCHEMA.program, addresses.into_iter().chain(node.page().map(|page| ("page", page))));
    life.soft.cancelled().await;
    life.finished().await;
    Ok(())
}
