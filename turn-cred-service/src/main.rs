//! The credential service as a program of its own.

use std::future::Future;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use service_kit::lifecycle::{Exit, Lifecycle};
use service_kit::program::{block_on, check_config, print, run, serve};
use service_kit::settings::{Faults, Resolved};
use service_kit::telemetry::announce;
use turn_cred_service::commands::{self, CommandError};
use turn_cred_service::config::Ground;
use turn_cred_service::credential::Subject;
use turn_cred_service::rotation::Request;
use turn_cred_service::{Config, SCHEMA, Service, StartError, doctor, openapi};

fn main() -> ExitCode {
    run(SCHEMA, command(), |matches, resolved| match matches.subcommand() {
        Some(("check-config", _)) => check_config(resolved, Config::read),
        Some(("mint", asked)) => ground(resolved).map(|ground| mint(ground, asked)),
        Some(("rotate", asked)) => ground(resolved).map(|ground| rotate(ground, asked)),
        Some(("doctor", asked)) => doctor::examine(resolved, asked),
        Some(("openapi", _)) => {
            print(&openapi());
            Ok(Exit::Drained)
        }
        _ => Config::read(resolved).map(start),
    })
}

fn command() -> Command {
    let subject = Arg::new("sub")
        .long("sub")
        .value_name("SUBJECT")
        .required(true)
        .value_parser(|text: &str| text.parse::<Subject>())
        .help("Whom the credential is for; the relay sees a pseudonym of it");
    let emergency = Arg::new("emergency")
        .long("emergency")
        .action(ArgAction::SetTrue)
        .help("The secret is in wrong hands: the old one ends as soon as the new one signs");
    SCHEMA
        .command()
        .subcommand(
            Command::new("serve").about("Serves credentials; what happens without a command"),
        )
        .subcommand(
            Command::new("check-config").about(
                "Prints the effective settings, secrets masked; exit code 64 with all faults",
            ),
        )
        .subcommand(
            Command::new("mint")
                .about(
                    "Prints a credential as JSON, for trying a relay by hand; --ttl sets its life",
                )
                .arg(subject),
        )
        .subcommand(
            Command::new("rotate")
                .about(
                    "Lets another secret sign that every relay has accepted; for secrets in the \
                     relays' Redis",
                )
                .arg(emergency),
        )
        .subcommand(doctor::command())
        .subcommand(
            Command::new("openapi")
                .about("Prints the description of the public listener, as it serves it"),
        )
}

/// Reads what commands need, and nothing else of the settings.
fn ground(resolved: &Resolved) -> Result<Ground, Faults> {
    let mut reader = resolved.reader();
    let ground = Ground::read(&mut reader);
    reader.finish()?;
    Ok(ground.expect("its absence is a fault"))
}

fn mint(ground: Ground, asked: &ArgMatches) -> Exit {
    let subject = asked.get_one::<Subject>("sub").expect("it is a required argument").clone();
    finish(async move {
        print(&commands::mint(ground, &subject).await?);
        Ok(())
    })
}

fn rotate(ground: Ground, asked: &ArgMatches) -> Exit {
    let emergency = asked.get_flag("emergency");
    let request = if emergency { Request::Emergency } else { Request::Rotation };
    finish(commands::rotate(ground, request, |line| print(&(line + "\n"))))
}

/// Runs a command to its end and says why it failed.
fn finish(command: impl Future<Output = Result<(), CommandError>>) -> Exit {
    match block_on(command) {
        Ok(()) => Exit::Drained,
        Err(failed) => {
            eprintln!("{}: {failed}", SCHEMA.program);
            Exit::Failed
        }
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
    let running = Service::start(config, &life).await?;
    announce(SCHEMA.program, running.addresses.by_role());
    life.soft.cancelled().await;
    life.finished().await;
    Ok(())
}
