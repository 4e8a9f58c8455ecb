//! The scenarios `bad-members` and `strangers`, for a few seconds, and their negative twins: without what holds those who
//! mean harm, they must fail, and for that reason.

use std::process::Command;

use fault_suite::report::Outcome;

/// Runs one against the programs that are built beside this one.
///
/// Twice the floor, ten seconds, is the longest that a join may take here. `make faults` bounds the time more tightly, with an
/// optimised build.
fn run(scenario: &str, seconds: u32, options: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fault-suite"));
    command.args([scenario, "--seed", "5", "--quiet", "1", "--floor", "5000", "--joiners", "2"]);
    command.args(["--length", &seconds.to_string()]).args(options);
    command.arg("--folder").arg(folder.path());
    let output = command.output().expect("the program is built");
    let told = String::from_utf8(output.stdout).expect("it writes text");
    let line = told.lines().next().unwrap_or_default();
    serde_json::from_str(line)
        .unwrap_or_else(|_| panic!("{told}{}", String::from_utf8_lossy(&output.stderr)))
}

fn bad_members(seconds: u32, without: &[&str]) -> Outcome {
    run("bad-members", seconds, without)
}

/// Few enough for a build that is not optimised.
fn strangers(seconds: u32, without: &[&str]) -> Outcome {
    run("strangers", seconds, &[&["--silent", "60"], without].concat())
}

/// The figures that are not what they must be.
fn missed(outcome: &Outcome) -> Vec<&str> {
    assert_eq!(outcome.failure, None);
    outcome.figures.iter().filter(|it| !it.holds()).map(|it| it.name.as_str()).collect()
}

/// The checks that found something.
fn broken(outcome: &Outcome) -> Vec<&str> {
    let found = outcome.verdicts.iter().filter(|count| count.violations > 0);
    found.map(|count| count.check.as_str()).collect()
}

#[test]
fn good_members_notice_nothing_of_bad_ones() {
    let outcome = bad_members(3, &[]);
    assert_eq!(missed(&outcome), Vec::<&str>::new());
    assert!(outcome.held, "{:?}", outcome.violations);
}

#[test]
fn without_bounds_a_flood_closes_the_one_it_is_for() {
    // A busy machine takes longer to fill the queue of the one that it is for.
    let has_closed = |seconds| {
        missed(&bad_members(seconds, &["--without", "limits"]))
            .contains(&"sockets that good members lost")
    };
    assert!([3, 12, 48].into_iter().any(has_closed));
}

#[test]
fn without_a_ban_whoever_is_removed_is_back() {
    assert_eq!(missed(&bad_members(3, &["--without", "ban"])), ["of these that got in"]);
}

#[test]
fn without_a_bound_a_subject_opens_rooms_without_an_end() {
    let refused = "further rooms that it was refused";
    assert_eq!(missed(&bad_members(3, &["--without", "rooms"])), [refused]);
}

#[test]
fn good_clients_get_in_beside_strangers_at_every_listener() {
    let outcome = strangers(6, &[]);
    assert_eq!(missed(&outcome), Vec::<&str>::new());
    assert!(outcome.held, "{:?}", outcome.violations);
}

#[test]
fn without_bounds_on_addresses_strangers_keep_good_clients_out() {
    let outcome = strangers(5, &["--without", "limits"]);
    assert!(broken(&outcome).contains(&"under_attack"), "{:?}", outcome.figures);
    assert!(missed(&outcome).contains(&"of these succeeded"), "{:?}", outcome.figures);
}
