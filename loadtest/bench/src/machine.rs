//! The machine: what it is, and which part of it the load takes.

use std::fs;
use std::process::Command;

use rustix::thread::{CpuSet, sched_setaffinity};
use service_kit::clock;

use crate::problem::Problem;

/// Leaves the first core to the servers, and asks for all descriptors there are.
pub(crate) fn prepare() -> Result<(), Problem> {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let mut others = CpuSet::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (1..cores.max(2)).for_each(|core| others.set(core));
    sched_setaffinity(None, &others).map_err(|error| Problem::Io(error.into()))
}

/// Where, when and what was measured, in one line.
pub(crate) fn line() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let day = clock::rfc3339(clock::unix_seconds());
    format!(
        "{cores} × {}, Linux {}, commit {}, {}",
        model.trim_start_matches([' ', '\t', ':']).trim(),
        kernel.trim(),
        commit.unwrap_or_default(),
        day.split('T').next().unwrap_or_default()
    )
}
