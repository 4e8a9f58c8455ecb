//! The credential service as a program of its own.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use serde::Serialize;
use service_kit::clock;
use service_kit::lifecycle::{Exit, Lifecycle};
use service_kit::program::{check_config, print, run, serve};
use service_kit::settings::{Faults, Resolved};
use service_kit::telemetry::announce;
use turn_cred_service::config::{read_keys, read_lifetimes, read_pools};
use turn_cred_service::credential::{Credential, Subject};
use turn_cred_service::pool::Pools;
use turn_cred_service::{Config, SCHEMA, Service, StartError, openapi};

fn main() -> ExitCode {
    run(SCHEMA, command(), |matches, resolved| match matches.subcommand() {
        Some(("check-config", _)) => check_config(resolved, Config::read),
        Some(("mint", asked)) => mint(resolved, asked),
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
            Command::new("openapi")
                .about("Prints the description of the public listener, as it serves it"),
        )
}

/// A credential as `RTCIceServer` has it, with its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Minted {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    username: String,
    credential: String,
    ttl: u64,
    expires_at: String,
}

/// Prints a credential; needs the secret, and nothing else of the settings.
fn mint(resolved: &Resolved, asked: &ArgMatches) -> Result<Exit, Faults> {
    let mut reader = resolved.reader();
    let lifetimes = read_lifetimes(&mut reader);
    let keys = read_keys(&mut reader);
    let pools = read_pools(&mut reader);
    reader.finish()?;
    let keys = keys.expect("its absence is a fault");
    let subject = asked.get_one::<Subject>("sub").expect("it is a required argument");
    let expiry = clock::unix_seconds() + lifetimes.default.as_secs();
    let secrets = keys.signing.current();
    let Credential { username, password } =
        Credential::issue(secrets.signing(), &keys.hide(subject), expiry);
    let relays = pools.iter().flat_map(Pools::relays);
    let minted = Minted {
        urls: relays.flat_map(|relay| &relay.uris).map(ToString::to_string).collect(),
        username,
        credential: password,
        ttl: lifetimes.default.as_secs(),
        expires_at: clock::rfc3339(expiry),
    };
    print(&(serde_json::to_string(&minted).expect("strings serialize") + "\n"));
    Ok(Exit::Drained)
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
