//! What can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::check;
use crate::compare::{Comparison, Scope};
use crate::growth;
use crate::machine;
use crate::measure::fanout::Fanout;
use crate::measure::idle::idle;
use crate::measure::relay::{PAIRS, Pacing, Relay};
use crate::plot;
use crate::problem::Problem;
use crate::report;
use crate::servers::{Fleet, Programs, Subject};
use crate::sizing::{self, Load};

pub(crate) fn command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).default_value(default).value_parser(value_parser!(u32)).help(help)
    };
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_parser(value_parser!(PathBuf)).help(help)
    };
    let page = path("write", "Puts the tables between the markers of this page");
    let compare = Command::new("compare")
        .about("Ours, socket.io, PeerJS, matchbox and bare TCP in one run")
        .arg(number("rounds", "5", "How often each is measured"))
        .arg(number("connections", "10000", "Idle connections whose memory is measured"))
        .arg(number("window", "3000", "Milliseconds of each load that count"))
        .arg(path("plot", "Draws an SVG file of it"))
        .arg(page.clone());
    let growth = Command::new("growth")
        .about(
            "What a signal costs on more nodes and beside more rooms; storms of joins and returns",
        )
        .arg(number("window", "3000", "Milliseconds of each load that count"))
        .arg(page);
    let size = Command::new("size")
        .about("Nodes, Redis shards and memory for a number of clients, from what was measured")
        .arg(number(
            "clients",
            "0",
            "How many; 0: a table for 10 thousand, 1 million and 100 million",
        ))
        .arg(number("members", "2", "Members of a room"))
        .arg(number("signals", "42", "Signals that set one pair up"))
        .arg(number("stay", "600", "Seconds that a client stays in a room"))
        .arg(number("cores", "4", "Cores of a node"))
        .arg(number("memory", "8", "GiB of a node"));
    Command::new("signal-bench")
        .about("Measures signal-node beside its peers, and what a cluster of it takes")
        .subcommand_required(true)
        .subcommand(compare)
        .subcommand(growth)
        .subcommand(load_command())
        .subcommand(size)
        .subcommand(
            Command::new("check")
                .about("Whether memory per connection is still what the table says"),
        )
        .subcommand(Command::new("floor").about("Serves as the floor").hide(true))
        .subcommand(
            Command::new("echo")
                .about("Serves as an echo")
                .arg(Arg::new("carrier").required(true))
                .hide(true),
        )
        .arg(path("signal-node", "The release binary [default: beside this program]").global(true))
        .arg(path("peers", "The thin servers, installed [default: loadtest/peers]").global(true))
        .arg(path("matchbox", "matchbox_server; left out where it is not given").global(true))
}

/// One load, for profilers.
fn load_command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).default_value(default).value_parser(value_parser!(u32)).help(help)
    };
    Command::new("load")
        .about("One load over one kind of server, for profilers")
        .arg(Arg::new("subject").required(true).value_parser(Subject::ALL.map(Subject::name)))
        .arg(
            Arg::new("turns")
                .required(true)
                .value_parser(["one", "burst", "paced", "crowd", "idle"]),
        )
        .arg(
            Arg::new("volatile")
                .long("volatile")
                .action(ArgAction::SetTrue)
                .help("Nothing is kept in the log"),
        )
        .arg(number("rate", "5000", "Signals per second where they are paced"))
        .arg(number("connections", "10000", "Idle connections"))
        .arg(number("window", "3000", "Milliseconds that count"))
}

/// What to echo over, if this program is to serve as an echo.
pub(crate) fn echoes(matches: &ArgMatches) -> Option<&str> {
    matches.subcommand_matches("echo")?.get_one::<String>("carrier").map(String::as_str)
}

fn get(matches: &ArgMatches, name: &str) -> u32 {
    *matches.get_one(name).expect("it has a default")
}

fn programs(matches: &ArgMatches) -> Result<Programs, Problem> {
    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    let beside = std::env::current_exe()?.with_file_name("signal-node");
    Ok(Programs {
        signal_node: path("signal-node").unwrap_or(beside),
        peers: path("peers").unwrap_or_else(|| PathBuf::from("loadtest/peers")),
        matchbox: path("matchbox"),
    })
}

fn window(matches: &ArgMatches) -> Duration {
    Duration::from_millis(u64::from(get(matches, "window")))
}

/// Prints tables with the machine they are of, and puts them on a page if one is named.
fn publish(matches: &ArgMatches, name: &str, tables: &str) -> Result<(), Problem> {
    let text = format!("{}.\n\n{tables}", machine::line());
    println!("{text}");
    match matches.get_one::<PathBuf>("write") {
        Some(page) => report::write(page, name, &text),
        None => Ok(()),
    }
}

/// Does what was asked for.
pub(crate) async fn act(matches: &ArgMatches) -> Result<(), Problem> {
    let programs = programs(matches)?;
    match matches.subcommand() {
        Some(("compare", compare)) => {
            let extent = Scope {
                rounds: get(compare, "rounds"),
                connections: get(compare, "connections"),
                window: window(compare),
            };
            let figures = Comparison::new(&programs, extent).run().await?;
            if let Some(path) = compare.get_one::<PathBuf>("plot") {
                plot::draw(&figures, path)?;
            }
            let tables = format!("{}\n{}", report::targets(&figures), report::figures(&figures));
            publish(compare, "compared", &tables)
        }
        Some(("growth", growth)) => {
            publish(growth, "growth", &growth::measure(&programs, window(growth)).await?)
        }
        Some(("size", size)) => {
            println!("{}", sizing::table(&loads(size)));
            Ok(())
        }
        Some(("check", _)) => check::memory(&programs).await,
        Some(("load", load)) => one_load(&programs, load).await,
        _ => Ok(()),
    }
}

fn loads(size: &ArgMatches) -> Vec<Load> {
    let asked = f64::from(get(size, "clients"));
    let all = if asked > 0.0 { vec![asked] } else { vec![1e4, 1e6, 1e8] };
    let of = |name| f64::from(get(size, name));
    let load = |clients| Load {
        clients,
        members: of("members"),
        signals_per_pair: of("signals"),
        stay: of("stay"),
        cores: of("cores"),
        memory: of("memory"),
    };
    all.into_iter().map(load).collect()
}

async fn one_load(programs: &Programs, load: &ArgMatches) -> Result<(), Problem> {
    let word = |name: &str| load.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    let named = |subject: &Subject| subject.name() == word("subject");
    let subject = Subject::ALL.into_iter().find(named).unwrap_or(Subject::Signal);
    let window = window(load);
    let turns = match word("turns") {
        "idle" => {
            let fleet = Fleet::start(subject, 1, programs).await?;
            println!("{:?}", idle(&fleet, get(load, "connections")).await?);
            return Ok(());
        }
        "crowd" => {
            let fleet = Fleet::start(subject, 1, programs).await?;
            let crowd = Fanout { rooms: 4, members: 100, burst: 16, window };
            println!("{}", crowd.run(&fleet).await?);
            return Ok(());
        }
        "burst" => Pacing::Bursts(8),
        "paced" => Pacing::Paced(f64::from(get(load, "rate"))),
        _ => Pacing::One,
    };
    let fleet = Fleet::start(subject, subject.nodes(), programs).await?;
    let relay = Relay { turns, keeps: !load.get_flag("volatile"), pairs: PAIRS, window };
    println!("{}", relay.run(&fleet).await?);
    Ok(())
}
