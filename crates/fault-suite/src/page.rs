//! The measured table of docs/RELIABILITY.md, between two markers.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use service_kit::clock;

use crate::report::{HEADER, Outcome};

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Why the page was not written.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The file system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is no place for the table.
    #[error("it has no lines {BEGIN} and {END}")]
    Markers,
}

/// Puts the figures of these outcomes on the page.
///
/// # Errors
/// When the page cannot be written or has no place for them.
pub fn write(page: &Path, outcomes: &[Outcome]) -> Result<(), PageError> {
    let text = fs::read_to_string(page)?;
    let (before, rest) = text.split_once(BEGIN).ok_or(PageError::Markers)?;
    let (_, after) = rest.split_once(END).ok_or(PageError::Markers)?;
    Ok(fs::write(page, format!("{before}{BEGIN}\n{}\n{END}{after}", table(outcomes)))?)
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("{}\n\n{HEADER}\n", machine());
    for outcome in outcomes {
        let _ = writeln!(text, "{}", outcome.rows());
    }
    for outcome in outcomes {
        if let Some(failure) = &outcome.failure {
            let _ = writeln!(text, "\n`{}` did not come to its end: {failure}.", outcome.scenario);
        }
    }
    text
}

/// Where and when it was measured, and what.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let day = clock::rfc3339(clock::unix_seconds());
    format!(
        "{cores} cores, Linux {}, commit {}, {}. Clients, proxies, nodes and Redis share them.",
        kernel.trim(),
        commit.unwrap_or_default(),
        day.split('T').next().unwrap_or_default()
    )
}
