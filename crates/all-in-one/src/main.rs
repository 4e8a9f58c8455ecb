//! `cargo run`: a working video call without further installation.

use std::env;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use all_in_one::local_cluster::{LocalCluster, StartError};
use all_in_one::settings::{SCHEMA, Settings};
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
    let cluster = LocalCluster::start(settings, environment, &life).await?;
    print_urls(&cluster);
    life.soft.cancelled().await;
    life.finished().await;
    cluster.relay.stop().await?;
    Ok(())
}

/// Prints the URL for people, and all addresses as one JSON line for scripts.
fn print_urls(cluster: &LocalCluster) {
    let (page, turn) = (&cluster.page, cluster.relay.address());
    if !io::stdout().is_terminal() {
        let admin = cluster.admin.to_string();
        let public = cluster.public.to_string();
        let turn = turn.to_string();
        let facts = [("public", public), ("page", page.clone()), ("admin", admin), ("turn", turn)];
        announce(SCHEMA.program, facts.into_iter().chain(cluster.dialects.clone()));
    }
    let text = format!(
        "\nA video call on this machine is ready. Open this in two tabs:\n\n    \
         {page}\n\n\
         \"Relay only\" sends the media through the TURN relay at {turn}.\n\
         {dialects}\
         Rooms are kept in memory. Ctrl-C ends everything.\n\n",
        dialects = bring_your_client(cluster),
    );
    print(&text);
}

/// Tells where clients of other protocols connect.
fn bring_your_client(cluster: &LocalCluster) -> String {
    let lines = cluster.dialects.iter().map(|(name, address)| match *name {
        "topics" => format!("y-webrtc and trystero connect unchanged to {address}\n"),
        "matchbox" => format!("matchbox connects unchanged to {address}/ROOM\n"),
        "socketio" => format!("Socket.IO connects unchanged to {address}\n"),
        _ => format!("PeerJS connects unchanged to {address}: its host, port and path\n"),
    });
    lines.collect()
}
