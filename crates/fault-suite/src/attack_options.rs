//! The options of scenarios with attacks.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};
use fault_suite::scenario::{AttackPlan, BadMembers, Strangers, Without};

use super::number;

/// How long attacks go on, what they are compared with, and what is missing in a negative twin.
pub(super) fn add_to(command: Command) -> Command {
    let (command, missing): (_, &[&str]) = match command.get_name() {
        "bad-members" => (command, &["limits", "ban", "rooms"]),
        "strangers" => {
            let silent = number("silent", "Silent connections to each node [default: 500]");
            (command.arg(silent), &["limits"])
        }
        _ => return command,
    };
    let without = Arg::new("without")
        .long("without")
        .value_name("WHAT")
        .value_parser(missing.to_vec())
        .help("Leaves this out; the run must fail then");
    let floor = number(
        "floor",
        "Milliseconds: a shorter p99 of joins while it is quiet counts as this [default: 50]",
    );
    command
        .arg(number("quiet", "Seconds before the attacks, to compare them with [default: 30]"))
        .arg(number("length", "Seconds of the attacks [default: 120]"))
        .arg(number("joiners", "Good clients that come and go at once [default: 8]"))
        .arg(floor)
        .arg(without)
}

/// `all` has none of these options.
fn attack_plan(matches: &ArgMatches) -> AttackPlan {
    let number_of = |name| matches.try_get_one::<u32>(name).ok().flatten().copied();
    let given = |name| number_of(name).map(u64::from);
    AttackPlan {
        quiet: Duration::from_secs(given("quiet").unwrap_or(30)),
        length: Duration::from_secs(given("length").unwrap_or(120)),
        joiners: number_of("joiners").unwrap_or(8),
        floor: Duration::from_millis(given("floor").unwrap_or(50)),
    }
}

fn without(matches: &ArgMatches) -> Option<&str> {
    matches.try_get_one::<String>("without").ok().flatten().map(String::as_str)
}

pub(super) fn bad_members(matches: &ArgMatches) -> BadMembers {
    let without = without(matches).map(|what| match what {
        "ban" => Without::Ban,
        "rooms" => Without::Rooms,
        _ => Without::Limits,
    });
    BadMembers { plan: attack_plan(matches), without }
}

pub(super) fn strangers(matches: &ArgMatches) -> Strangers {
    let silent = matches.try_get_one::<u32>("silent").ok().flatten().copied().unwrap_or(500);
    let (plan, is_unlimited) = (attack_plan(matches), without(matches).is_some());
    Strangers { plan, silent: silent as usize, is_unlimited }
}
