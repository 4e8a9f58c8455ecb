//! The `turn-cred-service` binary: command line, subcommands, exit codes.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use service_kit::lifecycle::{Exit, Lifecycle};
use service_kit::program::{
    block_on, check_config, completions_command, print, print_completions, print_settings, run,
    serve, settings_command,
};
use service_kit::settings::{Faults, Resolved, parse_duration};
use service_kit::telemetry::announce;
use turn_cred_service::commands::{self, CommandError};
use turn_cred_service::config::CredentialSettings;
use turn_cred_service::credential::Subject;
use turn_cred_service::pool::Name;
use turn_cred_service::rotation::RotationRequest;
use turn_cred_service::{Config, SCHEMA, Service, StartError, doctor, openapi};

fn main() -> ExitCode {
    run(SCHEMA, command(), |matches, resolved| match matches.subcommand() {
        Some(("check-config", _)) => check_config(resolved, Config::read),
        Some(("rotate", args)) => {
            read_credential_settings(resolved).map(|settings| rotate(settings, args))
        }
        Some(("doctor", args)) => doctor::run_command(resolved, args),
        Some((name @ ("mint" | "deny" | "allow" | "usage" | "drain" | "undrain"), args)) => {
            read_credential_settings(resolved)
                .map(|settings| run_operator_command(name, settings, args))
        }
        Some(("settings", _)) => Ok(print_settings(&SCHEMA)),
        Some(("completions", args)) => Ok(print_completions(SCHEMA.program, command(), args)),
        Some(("openapi", _)) => {
            print(&openapi());
            Ok(Exit::Drained)
        }
        _ => Config::read(resolved).map(start),
    })
}

fn command() -> Command {
    let subcommand = |name: &'static str, about: &'static str| Command::new(name).about(about);
    let for_time = Arg::new("for")
        .long("for")
        .value_name("DURATION")
        .default_value("24h")
        .value_parser(parse_duration)
        .help("Duration of the denial");
    let emergency = Arg::new("emergency")
        .long("emergency")
        .action(ArgAction::SetTrue)
        .help("For a leaked secret: removes the old one as soon as the new one signs");
    SCHEMA
        .command()
        .subcommand(subcommand("serve", "Serves credentials (the default command)"))
        .subcommand(subcommand(
            "check-config",
            "Prints the effective settings with secrets masked; with faults, lists them all and \
             exits with 64",
        ))
        .subcommand(
            subcommand("mint", "Prints a credential as JSON, to test a relay; --ttl sets its TTL")
                .arg(subject()),
        )
        .subcommand(
            subcommand(
                "rotate",
                "Rotates the secret in Redis to a new one that every relay accepts",
            )
            .arg(emergency),
        )
        .subcommand(doctor::command())
        .subcommand(settings_command())
        .subcommand(completions_command())
        .subcommand(subcommand("openapi", "Prints the OpenAPI document of the public listener"))
        .subcommand(
            subcommand(
                "deny",
                "Denies a subject credentials, and closes its allocations at relays with a console",
            )
            .args([subject(), for_time]),
        )
        .subcommand(subcommand("allow", "Removes a denial").arg(subject()))
        .subcommand(
            subcommand("usage", "Prints the bytes that a subject has relayed").arg(subject()),
        )
        .subcommand(
            subcommand("drain", "Sends no new clients to a relay; running calls continue")
                .arg(relay()),
        )
        .subcommand(subcommand("undrain", "Sends new clients to a relay again").arg(relay()))
}

fn subject() -> Arg {
    Arg::new("sub")
        .long("sub")
        .value_name("SUBJECT")
        .required(true)
        .value_parser(Subject::new)
        .help("The subject; relays see its pseudonym")
}

fn relay() -> Arg {
    Arg::new("relay")
        .value_name("RELAY")
        .required(true)
        .value_parser(|text: &str| text.parse::<Name>())
        .help("Name of the relay in [[pools.relays]]")
}

/// Reads only the settings that the commands need, so that `mint` or `doctor` run without listeners
/// or token keys being configured.
fn read_credential_settings(resolved: &Resolved) -> Result<CredentialSettings, Faults> {
    let mut reader = resolved.reader();
    let settings = CredentialSettings::read(&mut reader);
    reader.finish()?;
    Ok(settings.expect("a missing value was reported as a fault"))
}

/// Runs the commands that change or look up the state of a subject or a relay.
fn run_operator_command(name: &str, settings: CredentialSettings, args: &ArgMatches) -> Exit {
    let subject = || args.get_one::<Subject>("sub").expect("clap requires the argument");
    let relay = || args.get_one::<Name>("relay").expect("clap requires the argument");
    run_to_exit(async {
        let output = match name {
            "mint" => commands::mint(settings, subject()).await?,
            "deny" => {
                let time = args.get_one::<Duration>("for").expect("the argument has a default");
                commands::deny(settings, subject(), *time).await?
            }
            "allow" => commands::allow(settings, subject()).await?,
            "usage" => commands::usage(settings, subject()).await?,
            "drain" => commands::drain(settings, relay(), true).await?,
            _ => commands::drain(settings, relay(), false).await?,
        };
        print(&output);
        Ok(())
    })
}

fn rotate(settings: CredentialSettings, args: &ArgMatches) -> Exit {
    let emergency = args.get_flag("emergency");
    let request = if emergency { RotationRequest::Emergency } else { RotationRequest::Rotation };
    run_to_exit(commands::rotate(settings, request, |line| print(&(line + "\n"))))
}

/// Runs a command to completion and maps an error to exit code 1.
fn run_to_exit(command: impl Future<Output = Result<(), CommandError>>) -> Exit {
    match block_on(command) {
        Ok(()) => Exit::Drained,
        Err(failed) => {
            eprintln!("{}: {failed}", SCHEMA.program);
            Exit::Failed
        }
    }
}

/// Serves until SIGTERM or SIGINT.
fn start(config: Config) -> Exit {
    let logging = config.logging.clone();
    serve(SCHEMA.program, &logging, run_service(config))
}

async fn run_service(config: Config) -> Result<(), StartError> {
    let life = Lifecycle::new();
    life.follow_signals()?;
    let Some(started) = life.soft.run_until_cancelled(Service::start(config, &life)).await else {
        life.hard.cancel();
        return Ok(());
    };
    let running = started?;
    announce(SCHEMA.program, running.addresses.by_role());
    life.soft.cancelled().await;
    life.finished().await;
    Ok(())
}
