//! The node as a program of its own.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use service_kit::clock;
use service_kit::lifecycle::{Exit, Lifecycle};
use service_kit::program::{
    check_config, completions_command, print, print_completions, run, serve,
};
use service_kit::settings::{Faults, Resolved};
use service_kit::telemetry::announce;
use service_kit::tokens::{Claims, Right, mint};
use signal_node::config::{Config, SCHEMA};
use signal_node::doctor;
use signal_node::http::openapi;
use signal_node::node::{Node, StartError};
use signal_protocol::Subject;

/// Ten thousand connections leave ten thousand holes; this allocator gives them back (docs/BENCHMARKS.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    run(SCHEMA, command(), |matches, resolved| match matches.subcommand() {
        Some(("check-config", _)) => check_config(resolved, Config::read),
        Some(("token", token)) => mint_token(resolved, token),
        Some(("completions", asked)) => Ok(print_completions(SCHEMA.program, command(), asked)),
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
        .subcommand(completions_command())
        .subcommand(
            Command::new("openapi")
                .about("Prints the description of the REST interface, as a node serves it"),
        )
        .subcommand(
            Command::new("token")
                .about("Makes tokens, for development and scripts")
                .subcommand_required(true)
                .subcommand(mint_command()),
        )
}

fn mint_command() -> Command {
    let arg = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let rights = ["signal", "moderate", "admin"];
    Command::new("mint")
        .about("Prints a token signed with the first key of SIGNAL_NODE_JWT_SECRET[_FILE]")
        .arg(arg("sub", "SUBJECT", "Whose token it is").required(true).value_parser(Subject::new))
        .arg(
            arg("room", "ROOM", "A room it opens, exact or with a trailing *; may be repeated")
                .required(true)
                .action(ArgAction::Append),
        )
        .arg(
            arg("can", "RIGHT", "What it allows; may be repeated [default: signal]")
                .action(ArgAction::Append)
                .value_parser(rights),
        )
        .arg(
            arg("token-ttl", "DURATION", "How long it is good for")
                .alias("ttl")
                .default_value("1h")
                .value_parser(service_kit::settings::parse_duration),
        )
}

fn mint_token(resolved: &Resolved, token: &ArgMatches) -> Result<Exit, Faults> {
    let mut reader = resolved.reader();
    let secret = reader.secrets("jwt_secret");
    let (issuer, audience) =
        (reader.optional_text("jwt_issuer"), reader.optional_text("jwt_audience"));
    if secret.is_none() {
        reader.fault("jwt_secret", "is needed to sign a token");
    }
    reader.finish()?;
    let Some((_, asked)) = token.subcommand() else { return Ok(Exit::Unusable) };
    let subject = asked.get_one::<Subject>("sub").expect("it is a required argument");
    let ttl = asked.get_one::<Duration>("token-ttl").expect("it has a default");
    let mut claims = Claims::new(subject.as_str(), clock::unix_seconds() + ttl.as_secs());
    claims.rooms = asked.get_many("room").into_iter().flatten().cloned().collect();
    claims.iss = issuer;
    claims.aud = audience.into_iter().collect();
    if let Some(rights) = asked.get_many::<String>("can") {
        claims.can = rights.map(|right| read_right(right)).collect();
    }
    let secrets = secret.expect("its absence is a fault").current();
    print(&(mint(&claims, secrets.signing()) + "\n"));
    Ok(Exit::Drained)
}

fn read_right(word: &str) -> Right {
    match word {
        "moderate" => Right::Moderate,
        "admin" => Right::Admin,
        _ => Right::Signal,
    }
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
