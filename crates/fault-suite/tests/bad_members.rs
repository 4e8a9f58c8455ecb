//! The scenario `bad-members`, for a few seconds, and its negative twins: without what holds bad members, it must fail, and
//! for that reason.

use std::process::Command;

use fault_suite::report::Outcome;

/// Runs it for so many seconds, against the programs that are built beside this one.
fn bad_members(seconds: u32, without: Option<&str>) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fault-suite"));
    command.args(["bad-members", "--length", &seconds.to_string(), "--seed", "5"]);
    command.arg("--folder").arg(folder.path());
    command.args(without.into_iter().flat_map(|what| ["--without", what]));
    let output = command.output().expect("the program is built");
    let told = String::from_utf8(output.stdout).expect("it writes text");
    let line = told.lines().next().unwrap_or_default();
    serde_json::from_str(line)
        .unwrap_or_else(|_| panic!("{told}{}", String::from_utf8_lossy(&output.stderr)))
}

/// The figures that are not what they must be.
fn missed(outcome: &Outcome) -> Vec<&str> {
    assert_eq!(outcome.failure, None);
    outcome.figures.iter().filter(|it| !it.holds()).map(|it| it.name.as_str()).collect()
}

#[test]
fn good_members_notice_nothing_of_bad_ones() {
    let outcome = bad_members(3, None);
    assert_eq!(missed(&outcome), Vec::<&str>::new());
    assert!(outcome.held, "{:?}", outcome.violations);
}

#[test]
fn without_bounds_a_flood_closes_the_one_it_is_for() {
    // A busy machine takes longer to fill the queue of the one that it is for.
    let has_closed = |seconds| {
        missed(&bad_members(seconds, Some("limits"))).contains(&"sockets that good members lost")
    };
    assert!([3, 12, 48].into_iter().any(has_closed));
}

#[test]
fn without_a_ban_whoever_is_removed_is_back() {
    assert_eq!(missed(&bad_members(3, Some("ban"))), ["of these that got in"]);
}
