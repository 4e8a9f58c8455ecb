//! What was found, as a table that grows while we look, or as one JSON document at the end.

use std::io::{self, Write as _};

use serde::Serialize;

/// How it stands with one check, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// It is as it shall be.
    Ok,
    /// It works, and something should be done about it.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }

    /// The colour of a terminal (ECMA-48 §8.3.117).
    fn colour(self) -> &'static str {
        match self {
            Self::Ok => "32",
            Self::Warn => "33",
            Self::Fail => "1;31",
        }
    }
}

/// What came of one check.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    pub(super) verdict: Verdict,
    found: String,
    /// What to do about it, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    pub(super) fn warn(
        check: &'static str,
        found: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self { check, verdict: Verdict::Warn, found: found.into(), advice: Some(advice) }
    }

    pub(super) fn fail(
        check: &'static str,
        found: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self { check, verdict: Verdict::Fail, found: found.into(), advice: Some(advice) }
    }
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A table.
    Plain,
    /// A table on a terminal.
    Coloured,
    /// One JSON document.
    Json,
}

/// The whole report, for machines.
#[derive(Serialize)]
struct Document<'a> {
    verdict: Verdict,
    checks: &'a [Finding],
}

/// Collects what is found and prints it.
pub(super) struct Report {
    style: Style,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(style: Style) -> Self {
        Self { style, findings: Vec::new() }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if self.style != Style::Json {
            print(&self.row(&finding));
        }
        self.findings.push(finding);
    }

    /// Ends the report and tells the worst that was found.
    pub(super) fn end(self) -> Verdict {
        let worst = self.findings.iter().map(|finding| finding.verdict).max();
        let worst = worst.unwrap_or(Verdict::Ok);
        let count = |verdict| self.findings.iter().filter(|found| found.verdict == verdict).count();
        if self.style == Style::Json {
            let document = Document { verdict: worst, checks: &self.findings };
            print(&(serde_json::to_string_pretty(&document).expect("strings serialize") + "\n"));
        } else {
            let (failed, warned) = (count(Verdict::Fail), count(Verdict::Warn));
            print(&format!("{failed} failed, {warned} to look at\n"));
        }
        worst
    }

    fn row(&self, finding: &Finding) -> String {
        let Finding { check, verdict, found, advice } = finding;
        let label = match self.style {
            Style::Coloured => format!("\x1b[{}m{:<4}\x1b[0m", verdict.colour(), verdict.label()),
            Style::Plain | Style::Json => format!("{:<4}", verdict.label()),
        };
        let advice = advice.map(|advice| format!("{:16}=> {advice}\n", "")).unwrap_or_default();
        format!("{label}  {check:<8}  {found}\n{advice}")
    }
}

/// Prints at once, so that whoever waits sees it grow. A reader that went away is no failure of ours.
fn print(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
