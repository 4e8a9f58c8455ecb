//! The program: one subcommand per scenario.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use fault_suite::check;
use fault_suite::cluster::find_node_binary;
use fault_suite::history::History;
use fault_suite::report::Outcome;
use fault_suite::scenario::{Chaos, Options, chaos, chaos_figures};

fn main() -> ExitCode {
    let matches = command().get_matches();
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    runtime.block_on(run(&matches))
}

fn command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).default_value(default).value_parser(value_parser!(u64)).help(help)
    };
    Command::new("fault-suite")
        .subcommand_required(true)
        .subcommand(
            Command::new("chaos")
                .arg(number("rooms", "100", "rooms"))
                .arg(number("rate", "6", "signals per second and client"))
                .arg(number("signals", "1000000", "signals"))
                .arg(number("faults", "300", "faults"))
                .arg(number("seconds", "600", "window")),
        )
        .arg(Arg::new("seed").long("seed").global(true).value_parser(value_parser!(u64)))
        .arg(Arg::new("folder").long("folder").global(true).value_parser(value_parser!(PathBuf)))
        .arg(
            Arg::new("node-binary")
                .long("node-binary")
                .global(true)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(Arg::new("history").long("history").global(true).value_parser(value_parser!(PathBuf)))
}

async fn run(matches: &ArgMatches) -> ExitCode {
    let Some(("chaos", m)) = matches.subcommand() else { return ExitCode::FAILURE };
    let seed = m.get_one::<u64>("seed").copied().unwrap_or_else(|| fastrand::u64(0..1 << 32));
    println!("seed {seed}");
    let options = Options {
        seed,
        binary: find_node_binary(m.get_one::<PathBuf>("node-binary").map(PathBuf::as_path))
            .expect("bin"),
        folder: m
            .get_one::<PathBuf>("folder")
            .cloned()
            .unwrap_or_else(|| Path::new("target/fault-suite").to_path_buf()),
        log: "warn".to_owned(),
        history: None,
    };
    let n = |name: &str| *m.get_one::<u64>(name).expect("default");
    let c = Chaos {
        rooms: n("rooms") as usize,
        rate: n("rate") as f64,
        signals: n("signals"),
        faults: n("faults") as usize,
        window: Duration::from_secs(n("seconds")),
    };
    let (history, result) = chaos(&options, &c).await;
    let Some(history) = history else {
        eprintln!("{result:?}");
        return ExitCode::FAILURE;
    };
    let outcome = judge(&history, &c, seed, result.err().map(|e| e.to_string()));
    println!("{}", serde_json::to_string(&outcome).expect("json"));
    println!("{}", outcome.summary());
    history.write(&options.folder.join("history.jsonl")).expect("written");
    ExitCode::SUCCESS
}

fn judge(history: &History, c: &Chaos, seed: u64, failure: Option<String>) -> Outcome {
    Outcome::new("chaos", seed, failure, chaos_figures(history, c), &check::all(history))
}
