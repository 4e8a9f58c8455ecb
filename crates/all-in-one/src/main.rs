//! `cargo run`: a working video call with nothing installed.

use std::env;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use all_in_one::settings::{SCHEMA, Settings};
use all_in_one::together::{StartError, Together};
use service_kit::lifecycle::{Exit, Lifecycle};
use service_kit::program::{block_on, print};
use service_kit::settings::{Environment, Schema};
use service_kit::telemetry::announce;

fn main() -> ExitCode {
    let matches = match Schema::parse(SCHEMA.command(), env::args_os()) {
        Ok(matches) => matches,
        Err(exit) => return exit,
    };
    let environment = Environment::from_process();
    let served = Settings::read(&matches, &environment)
        .map_err(StartError::from)
        .and_then(|settings| serve(&settings, environment));
    let exit = match served {
        Ok(()) => Exit::Drained,
        Err(failed) => {
            eprintln!("{}: {failed}", SCHEMA.program);
            if matches!(failed, StartError::Settings(_)) { Exit::Unusable } else { Exit::Failed }
        }
    };
    exit.into()
}

fn serve(settings: &Settings, environment: Environment) -> Result<(), StartError> {
    let telemetry = settings.logging.init(SCHEMA.program)?;
    let ended = block_on(run(settings, environment));
    telemetry.end();
    ended
}

async fn run(settings: &Settings, environment: Environment) -> Result<(), StartError> {
    let life = Lifecycle::new();
    life.follow_signals()?;
    let together = Together::start(settings, environment, &life).await?;
    greet(&together);
    life.soft.cancelled().await;
    life.finished().await;
    together.relay.stop().await?;
    Ok(())
}

/// Tells people where to go, and scripts in one line of JSON where everything listens.
fn greet(together: &Together) {
    let (public, turn) = (&together.public, together.relay.address());
    if !io::stdout().is_terminal() {
        let admin = together.admin.to_string();
        let public = public.to_string();
        announce(
            SCHEMA.program,
            [("public", public), ("admin", admin), ("turn", turn.to_string())],
        );
    }
    let text = format!(
        "\nA video call on this machine is ready. Open this in two tabs:\n\n    \
         http://{public}/?room=demo\n\n\
         \"Relay only\" sends the media through the TURN relay at {turn}.\n\
         Rooms are kept in memory. Ctrl-C ends everything.\n\n"
    );
    print(&text);
}
