//! `turn-cred-service doctor`: flags, output format and exit code.

use std::io;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use service_kit::clock;
use service_kit::findings::{CheckResult, OutputFormat};
use service_kit::lifecycle::Exit;
use service_kit::program::block_on;
use service_kit::settings::{Faults, Resolved};

use super::{CallSize, DoctorOptions, Report, examine_relays};
use crate::commands::CommandError;
use crate::config::CredentialSettings;
use crate::key_store::KeyStore;
use crate::pool::{IceUri, Pools};

/// Timeout of one step; a relay slower than this is unusable for calls.
const PATIENCE: Duration = Duration::from_secs(5);

/// The subcommand and its flags.
#[must_use]
pub fn command() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let count = |name: &'static str, default: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("COUNT")
            .value_parser(value_parser!(u16).range(1..=1000))
            .default_value(default)
    };
    Command::new("doctor")
        .about(
            "Checks every relay as a client would, and what it must not permit; exit code 1 if a \
             check failed",
        )
        .arg(flag("json").help("Prints one JSON document instead of a table"))
        .arg(
            flag("allow-loopback")
                .help("Accepts a relay that permits its own loopback, as one on a laptop does"),
        )
        .arg(count("members", "8").help(
            "Members of the largest room whose media may all go over \
                                         relays",
        ))
        .arg(count("networks", "2").help("Networks on which a member's machine gathers candidates"))
}

/// Examines the configured relays. Needs only the relays and their secret.
///
/// # Errors
/// Faults of these settings.
pub fn run_command(resolved: &Resolved, matches: &ArgMatches) -> Result<Exit, Faults> {
    let mut reader = resolved.reader();
    let settings = CredentialSettings::read(&mut reader);
    if !reader.is_set("uris") && !reader.has_tables("pools") {
        reader.fault("uris", "is needed, or [[pools]]: the relays to check");
    }
    reader.finish()?;
    let settings = settings.expect("a missing value was reported as a fault");
    let mut exit = Exit::Failed;
    let ended = block_on(async {
        exit = examine(&settings, matches).await?;
        Ok::<_, CommandError>(())
    });
    if let Err(error) = ended {
        eprintln!("turn-cred-service: {error}");
    }
    Ok(exit)
}

async fn examine(
    settings: &CredentialSettings,
    matches: &ArgMatches,
) -> Result<Exit, CommandError> {
    let count =
        |name| usize::from(*matches.get_one::<u16>(name).expect("the argument has a default"));
    let secrets = KeyStore::open(settings).await?.keys.signing.current();
    let options = DoctorOptions {
        secrets: &secrets,
        ttl: settings.ttl_settings.default,
        connect_options: settings.connect_options(PATIENCE),
        allow_loopback: matches.get_flag("allow-loopback"),
        call_size: CallSize { members: count("members"), networks: count("networks") },
        now: clock::unix_seconds,
    };
    let mut out = io::stdout();
    let format = OutputFormat::for_stdout(matches.get_flag("json"));
    let relays: Vec<_> = settings.pools.iter().flat_map(urls_by_name).collect();
    let worst = examine_relays(&relays, &options, Report::new(format, &mut out)).await;
    Ok(if worst == CheckResult::Fail { Exit::Failed } else { Exit::Drained })
}

/// Lists the relays by name, and the STUN URLs by region.
fn urls_by_name(pools: &Pools) -> Vec<(String, Vec<IceUri>)> {
    let stun = pools.iter().map(|pool| (pool.region.to_string(), pool.stun.clone()));
    let relays = pools.relays().map(|relay| (relay.name.to_string(), relay.uris.clone()));
    stun.chain(relays).collect()
}
