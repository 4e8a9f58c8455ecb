//! The common part of every service's `main`.

use std::env;
use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::{Shell, generate};
use tokio::runtime::Runtime;
use tracing::error;

use crate::lifecycle::Exit;
use crate::settings::{Environment, Faults, Resolved, Schema};
use crate::telemetry::LogSettings;

/// Bound on blocking tasks at the end of the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads command line, environment and file, and calls `dispatch` with them. Faults in the settings
/// end the process with 64.
pub fn run(
    schema: Schema,
    command: Command,
    dispatch: impl FnOnce(&ArgMatches, &Resolved) -> Result<Exit, Faults>,
) -> ExitCode {
    let matches = match Schema::parse(command, env::args_os()) {
        Ok(matches) => matches,
        Err(exit) => return exit,
    };
    let resolved = schema.resolve(&matches, &Environment::from_process());
    dispatch(&matches, &resolved)
        .unwrap_or_else(|faults| {
            eprintln!("{}: {faults}", schema.program);
            Exit::Unusable
        })
        .into()
}

/// Runs a service to its end and returns the exit code.
pub fn serve<E: Display + From<io::Error>>(
    program: &str,
    logging: &LogSettings,
    service: impl Future<Output = Result<(), E>>,
) -> Exit {
    forbid_core_dumps();
    let telemetry = match logging.init(program) {
        Ok(telemetry) => telemetry,
        Err(failed) => {
            eprintln!("{program}: cannot log: {failed}");
            return Exit::Failed;
        }
    };
    let ended = block_on(service);
    telemetry.end();
    match ended {
        Ok(()) => Exit::Drained,
        Err(failed) => {
            error!("cannot start: {failed}");
            Exit::Failed
        }
    }
}

/// Keeps the keys in memory out of core dumps, and out of the reach of debuggers of the same user.
fn forbid_core_dumps() {
    // Best effort: without it the limits of the system decide (`LimitCORE=0` in our units).
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Runs a future on a new runtime.
///
/// # Errors
/// Those of the future, or of creating the runtime.
pub fn block_on<E: From<io::Error>>(service: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(service);
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    ended
}

/// Prints the effective settings, then checks them.
///
/// # Errors
/// The faults found by `read`.
pub fn check_config<T>(
    resolved: &Resolved,
    read: impl FnOnce(&Resolved) -> Result<T, Faults>,
) -> Result<Exit, Faults> {
    print(&resolved.describe());
    read(resolved).map(|_| Exit::Drained)
}

/// The subcommand that prints a configuration file.
#[must_use]
pub fn settings_command() -> Command {
    Command::new("settings")
        .about("Prints a configuration file with every setting and its default, as comments")
}

/// Prints a configuration file with every setting.
#[must_use]
pub fn print_settings(schema: &Schema) -> Exit {
    print(&schema.sample());
    Exit::Drained
}

/// The subcommand that prints shell completions.
#[must_use]
pub fn completions_command() -> Command {
    let shell = Arg::new("shell").required(true).value_parser(value_parser!(Shell));
    Command::new("completions")
        .about("Prints completions for a shell: bash, elvish, fish, powershell or zsh")
        .after_help("For bash: PROGRAM completions bash > /etc/bash_completion.d/PROGRAM")
        .arg(shell)
}

/// Prints the completions for the shell in `matches`.
#[must_use]
pub fn print_completions(program: &str, mut command: Command, matches: &ArgMatches) -> Exit {
    let shell = matches.get_one::<Shell>("shell").expect("clap requires the argument");
    let mut script = Vec::new();
    generate(*shell, &mut command, program, &mut script);
    print(&String::from_utf8_lossy(&script));
    Exit::Drained
}

/// Writes to standard output. Errors are ignored: a closed pipe is no failure.
pub fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    use super::*;

    #[test]
    fn secrets_stay_out_of_core_dumps() {
        forbid_core_dumps();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
