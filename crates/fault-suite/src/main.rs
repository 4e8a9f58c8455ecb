//! Runs scenarios against a real cluster, or the checks over a history that one left behind.

mod attack_options;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use fault_suite::check;
use fault_suite::cluster::find_node_binary;
use fault_suite::history::{FaultKind, History};
use fault_suite::nemesis;
use fault_suite::page;
use fault_suite::report::Outcome;
use fault_suite::scenario::{self, Calls, Chaos, Options, Report};
use fault_suite::simulation;
use tokio::runtime::Runtime;

/// The scenarios, in the order of `all`.
const SCENARIOS: [(&str, &str); 20] = [
    ("kill", "kill -9 of nodes: how soon their clients are back"),
    ("ghosts", "Clients of a killed node that do not come back: how soon they are gone"),
    ("rolling", "All nodes restarted in turn under load"),
    ("outage-stall", "Redis stopped for a minute"),
    ("outage-wipe", "Redis killed, and back empty a minute later"),
    ("slow-reader", "Clients that stop reading in a busy room"),
    ("bad-members", "Members who flood, flap, send wrong frames, open rooms and escape bans"),
    ("strangers", "Strangers who attack every listener without a valid token"),
    ("refused-writes", "Redis refuses writes: NOREPLICAS, OOM, READONLY, MISCONF"),
    ("silent-connection", "Packets between nodes and Redis lost without a reset"),
    ("role-change", "Planned failovers behind the address of Redis"),
    ("lost-primary", "A primary killed, and a replica promoted that may lack its last writes"),
    ("lost-keys", "Half of all keys of Redis deleted"),
    ("old-snapshot", "Redis killed, and back as it was some seconds ago"),
    ("clock-steps", "The clock of Redis set forward and back"),
    ("long-outage", "Redis stopped for longer than the keys of a room live"),
    (
        "redis-cluster",
        "A Redis Cluster: slots that move, a master that refuses writes, one that dies",
    ),
    ("slow", "Nodes, and Redis, that get a tenth of their processor"),
    ("long-pause", "Nodes that stand still for longer than lease and grace, and go on"),
    ("chaos", "Faults of every kind by a seed, and all promises checked"),
];

fn main() -> ExitCode {
    let matches = command().get_matches();
    // Each client costs three descriptors here: its own, and two of the proxy.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    match matches.subcommand() {
        Some(("check", check)) => return recheck(check),
        Some(("table", table)) => return tabulate(table),
        Some(("simulate", simulate)) => return simulated(simulate),
        Some(("calls", calls)) => return call(calls),
        _ => {}
    }
    match Runtime::new() {
        Ok(runtime) => runtime.block_on(run(&matches)),
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("fault-suite: {error}");
    ExitCode::FAILURE
}

fn command() -> Command {
    let scenarios = SCENARIOS
        .map(|(name, about)| attack_options::add_to(with_chaos(Command::new(name).about(about))));
    let all = with_chaos(Command::new("all").about("Every scenario; a table for people"))
        .arg(path("write", "FILE", "Puts the table between the markers of this page"));
    let file =
        Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf));
    let check = Command::new("check").about("Checks a history again").arg(file);
    let results = Arg::new("results").value_name("FILE").required(true).num_args(1..);
    let table = Command::new("table")
        .about("Puts the results that scenarios have printed into a page")
        .arg(results.value_parser(value_parser!(PathBuf)))
        .arg(path("write", "FILE", "The page, with its two markers").required(true));
    Command::new("fault-suite")
        .about("Breaks a cluster on purpose and checks what its clients were promised")
        .subcommand_required(true)
        .subcommands(scenarios)
        .subcommands([all, check, table, simulate_command(), calls_command()])
        .arg(
            number("seed", "Draws the same faults again [default: a new one, printed]")
                .global(true),
        )
        .arg(path("node-binary", "FILE", "signal-node [default: beside this program]").global(true))
        .arg(
            path("folder", "FOLDER", "Logs and histories")
                .default_value("target/fault-suite")
                .global(true),
        )
        .arg(
            path("history", "FILE", "Writes the history in any case, not only a bad one")
                .global(true),
        )
        .arg(
            Arg::new("node-log")
                .long("node-log")
                .value_name("FILTER")
                .default_value("warn")
                .help("What nodes log")
                .global(true),
        )
}

fn simulate_command() -> Command {
    Command::new("simulate")
        .about("Three nodes in this process and in virtual time; each seed is one interleaving")
        .arg(number("seeds", "How many").default_value("2000"))
        .arg(number("from", "The first of them").default_value("1"))
}

fn calls_command() -> Command {
    let address = Arg::new("address").long("address").value_name("IP:PORT").required(true);
    Command::new("calls")
        .about("Calls at a cluster that another program breaks; see deploy/kubernetes")
        .arg(address.value_parser(value_parser!(SocketAddr)))
        .arg(number("pairs", "Rooms of two").default_value("40"))
        .arg(number("rate", "Signals per second of each member").default_value("5"))
}

fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
}

fn number(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .value_parser(value_parser!(u32))
        .help(help)
        .action(ArgAction::Set)
}

/// How much chaos there is to be.
fn with_chaos(command: Command) -> Command {
    if !matches!(command.get_name(), "chaos" | "all") {
        return command;
    }
    let kinds = nemesis::ALL.iter().map(|(kind, ..)| kind.name());
    command
        .after_help(format!("Faults: {}", kinds.collect::<Vec<_>>().join(", ")))
        .arg(number("signals", "Sends at least so many").default_value("1000000"))
        .arg(number("faults", "Brings about so many").default_value("300"))
        .arg(number("grace", "Seconds in which a lost socket may come back").default_value("15"))
        .arg(number("seconds", "Spreads them over this time").default_value("420"))
        .arg(
            number("rooms", "Rooms of two to four, every fifth with more who want in")
                .default_value("100"),
        )
        .arg(
            Arg::new("without-faults")
                .long("without-faults")
                .value_name("KINDS")
                .value_delimiter(',')
                .value_parser(nemesis::ALL.iter().map(|(kind, ..)| kind.name()).collect::<Vec<_>>())
                .help("Leaves these kinds out, separated by commas"),
        )
        .arg(
            number("sdk-members", "Pages with the JavaScript SDK, in rooms of three: 0, 3, 6 …")
                .default_value("30"),
        )
        .arg(number("rate", "Signals per second of each client").default_value("8"))
}

fn get(matches: &ArgMatches, name: &str) -> u32 {
    *matches.get_one(name).expect("it has a default")
}

fn chaos(matches: &ArgMatches) -> Chaos {
    Chaos {
        rooms: get(matches, "rooms"),
        rate: f64::from(get(matches, "rate")),
        signals: u64::from(get(matches, "signals")),
        faults: get(matches, "faults") as usize,
        grace: Duration::from_secs(u64::from(get(matches, "grace"))),
        window: Duration::from_secs(u64::from(get(matches, "seconds"))),
        sdk_members: get(matches, "sdk-members"),
        without: without_faults(matches),
    }
}

fn without_faults(matches: &ArgMatches) -> Vec<FaultKind> {
    let names: Vec<_> =
        matches.get_many::<String>("without-faults").into_iter().flatten().collect();
    let kinds = nemesis::ALL.iter().map(|(kind, ..)| *kind);
    kinds.filter(|kind| names.contains(&&kind.name())).collect()
}

async fn run(matches: &ArgMatches) -> ExitCode {
    let Some((name, matches)) = matches.subcommand() else { return ExitCode::FAILURE };
    let options = match options(matches) {
        Ok(options) => options,
        Err(error) => return fail(&error),
    };
    let working = async {
        if name == "all" {
            all(&options, matches).await
        } else {
            one(name, &options, matches).await
        }
    };
    tokio::select! {
        held = working => if held { ExitCode::SUCCESS } else { ExitCode::FAILURE },
        // The children end with the future that owns them.
        _ = tokio::signal::ctrl_c() => fail(&"interrupted"),
    }
}

fn options(matches: &ArgMatches) -> Result<Options, Box<dyn std::error::Error>> {
    let file = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    let folder = file("folder").unwrap_or_default();
    std::fs::create_dir_all(&folder)?;
    Ok(Options {
        seed: u64::from(matches.get_one("seed").copied().unwrap_or_else(|| fastrand::u32(..))),
        binary: find_node_binary(file("node-binary").as_deref())?,
        folder: folder.canonicalize()?,
        log: matches.get_one("node-log").cloned().unwrap_or_default(),
        history: file("history"),
    })
}

async fn one(name: &str, options: &Options, matches: &ArgMatches) -> bool {
    let report = report(name, options, matches).await;
    tell(name, &report, options);
    report.outcome.held
}

async fn report(name: &str, options: &Options, matches: &ArgMatches) -> Report {
    match name {
        "kill" => scenario::kill(options).await,
        "ghosts" => scenario::ghosts(options).await,
        "rolling" => scenario::rolling(options).await,
        "outage-stall" => scenario::stall(options).await,
        "outage-wipe" => scenario::wipe(options).await,
        "slow-reader" => scenario::slow_reader(options).await,
        "bad-members" => {
            scenario::bad_members(options, &attack_options::bad_members(matches)).await
        }
        "strangers" => scenario::strangers(options, &attack_options::strangers(matches)).await,
        "refused-writes" => scenario::refused_writes(options).await,
        "silent-connection" => scenario::silent_connection(options).await,
        "role-change" => scenario::role_change(options).await,
        "lost-primary" => scenario::lost_primary(options).await,
        "lost-keys" => scenario::lost_keys(options).await,
        "old-snapshot" => scenario::old_snapshot(options).await,
        "clock-steps" => scenario::clock_steps(options).await,
        "long-outage" => scenario::long_outage(options).await,
        "redis-cluster" => scenario::redis_cluster(options).await,
        "slow" => scenario::slow(options).await,
        "long-pause" => scenario::long_pause(options).await,
        _ => scenario::chaos(options, &chaos(matches)).await,
    }
}

async fn all(options: &Options, matches: &ArgMatches) -> bool {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for (name, _) in SCENARIOS {
        let report = report(name, options, matches).await;
        tell(name, &report, options);
        outcomes.push(report.outcome);
    }
    let written = matches.get_one::<PathBuf>("write").map(|page| page::write(page, &outcomes));
    if let Some(Err(error)) = written {
        eprintln!("fault-suite: the page is not written: {error}");
        return false;
    }
    outcomes.iter().all(|outcome| outcome.held)
}

/// Prints what was found, and keeps what proves a failure.
fn tell(name: &str, report: &Report, options: &Options) {
    let line = serde_json::to_string(&report.outcome).expect("an outcome is plain data");
    println!("{line}\n\n{}", report.outcome.summary());
    let kept = options.folder.join(format!("{name}-{}.jsonl", options.seed));
    let bad = (!report.outcome.held).then_some(kept);
    let Some((history, file)) = report.history.as_ref().zip(options.history.clone().or(bad)) else {
        return;
    };
    match history.write(&file) {
        Ok(()) => println!("The history is in {}.", file.display()),
        Err(error) => eprintln!("fault-suite: {error}"),
    }
    if !report.outcome.held {
        println!("To draw the same faults again: fault-suite {name} --seed {}", options.seed);
    }
}

fn simulated(matches: &ArgMatches) -> ExitCode {
    let folder: &PathBuf = matches.get_one("folder").expect("it has a default");
    if let Err(error) = std::fs::create_dir_all(folder) {
        return fail(&error);
    }
    let (seeds, from) = (get(matches, "seeds"), get(matches, "from"));
    let sum = simulation::many(u64::from(from), u64::from(seeds), folder);
    if sum.broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the verdict as one line of JSON.
fn call(matches: &ArgMatches) -> ExitCode {
    let address = *matches.get_one::<SocketAddr>("address").expect("it is required");
    let seed = matches.get_one::<u32>("seed").copied().unwrap_or_else(|| fastrand::u32(..));
    let (pairs, rate) = (get(matches, "pairs"), f64::from(get(matches, "rate")));
    let settings = Calls { address, pairs, rate, seed: u64::from(seed) };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let (verdict, history) = runtime.block_on(scenario::calls(&settings));
    println!("{}", serde_json::to_string(&verdict).expect("a verdict is plain data"));
    let kept = matches.get_one::<PathBuf>("history").map(|file| history.write(file));
    match kept {
        Some(Err(error)) => fail(&error),
        Some(Ok(())) | None => ExitCode::SUCCESS,
    }
}

fn recheck(matches: &ArgMatches) -> ExitCode {
    let file: &Path = matches.get_one::<PathBuf>("file").expect("it is required");
    let history = match History::read(file) {
        Ok(history) => history,
        Err(error) => return fail(&error),
    };
    let verdicts = check::all(&history);
    let settings = &history.settings;
    let outcome = Outcome::new(&settings.scenario, settings.seed, None, Vec::new(), &verdicts);
    println!("{}", outcome.summary());
    if outcome.held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Collects the result lines of several runs in one table.
fn tabulate(matches: &ArgMatches) -> ExitCode {
    let mut outcomes = Vec::new();
    for file in matches.get_many::<PathBuf>("results").into_iter().flatten() {
        match std::fs::read_to_string(file) {
            Ok(text) => outcomes.extend(text.lines().filter_map(|l| serde_json::from_str(l).ok())),
            Err(error) => return fail(&error),
        }
    }
    let page = matches.get_one::<PathBuf>("write").expect("it is required");
    match page::write(page, &outcomes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}
