//! Findings of a `doctor` command, printed as a growing table or as one JSON document at the end.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

/// The name of a check.
pub trait Check: Copy + Serialize {
    /// Width of the column of names, in characters.
    const WIDTH: usize;

    /// Returns the name in the table.
    fn label(self) -> &'static str;
}

/// Result of a check, from best to worst: the order decides the overall result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckResult {
    /// As it should be.
    Ok,
    /// An earlier failure made the check impossible.
    Skipped,
    /// Works, but needs attention.
    Warn,
    /// Broken, or open to attackers.
    Fail,
}

impl CheckResult {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }

    /// SGR parameter of the terminal colour (ECMA-48 §8.3.117).
    fn colour(self) -> &'static str {
        match self {
            Self::Ok => "32",
            Self::Skipped => "2",
            Self::Warn => "33",
            Self::Fail => "1;31",
        }
    }
}

/// The outcome of one check.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Serialize)]
pub struct Finding<C> {
    pub check: C,
    pub verdict: CheckResult,
    /// The observation.
    pub found: String,
    /// The remedy, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<Cow<'static, str>>,
}

#[expect(missing_docs, reason = "each makes the finding with the verdict of its name")]
impl<C: Check> Finding<C> {
    pub fn ok(check: C, found: impl Into<String>) -> Self {
        Self { check, verdict: CheckResult::Ok, found: found.into(), advice: None }
    }

    pub fn skipped(check: C, why: impl Into<String>) -> Self {
        Self { check, verdict: CheckResult::Skipped, found: why.into(), advice: None }
    }

    pub fn warn(check: C, found: impl Into<String>, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { check, verdict: CheckResult::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    pub fn fail(check: C, found: impl Into<String>, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { check, verdict: CheckResult::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// A table.
    Plain,
    /// A table with colours, for a terminal.
    Coloured,
    /// One JSON document.
    Json,
}

impl OutputFormat {
    /// Returns the format for the standard output, with colours on a terminal.
    #[must_use]
    pub fn for_stdout(json: bool) -> Self {
        match (json, io::stdout().is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Coloured,
            (false, false) => Self::Plain,
        }
    }
}

/// Prints a report. A closed pipe (`doctor | head`) is no failure of what was checked.
pub struct Printer<'a> {
    format: OutputFormat,
    out: &'a mut (dyn Write + Send),
}

impl<'a> Printer<'a> {
    /// Prints to `out`.
    pub fn new(format: OutputFormat, out: &'a mut (dyn Write + Send)) -> Self {
        Self { format, out }
    }

    /// Prints a line of the table and flushes at once: a check may take seconds.
    pub fn line(&mut self, text: &str) {
        if self.format != OutputFormat::Json {
            let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        }
    }

    /// Prints a finding, and its advice on a second line.
    pub fn finding<C: Check>(&mut self, indent: &str, finding: &Finding<C>) {
        let Finding { check, verdict, found, advice } = finding;
        let label = format!("{:<7}", verdict.label());
        let label = match self.format {
            OutputFormat::Coloured => format!("\x1b[{}m{label}\x1b[0m", verdict.colour()),
            OutputFormat::Plain | OutputFormat::Json => label,
        };
        self.line(&format!(
            "{indent}{label}  {:<width$}  {found}",
            check.label(),
            width = C::WIDTH
        ));
        if let Some(advice) = advice {
            self.line(&format!("{indent}{:width$}=> {advice}", "", width = 7 + 2 + C::WIDTH + 2));
        }
    }

    /// Prints the summary, or the whole document; returns the worst result.
    pub fn end<'f, C: Check + 'f, D: Serialize>(
        self,
        findings: impl Iterator<Item = &'f Finding<C>>,
        document: impl FnOnce(CheckResult) -> D,
    ) -> CheckResult {
        let verdicts: Vec<_> = findings.map(|finding| finding.verdict).collect();
        let worst = verdicts.iter().copied().max().unwrap_or(CheckResult::Ok);
        let count = |verdict| verdicts.iter().filter(|found| **found == verdict).count();
        let text = if self.format == OutputFormat::Json {
            serde_json::to_string_pretty(&document(worst)).expect("strings serialize")
        } else {
            let (failed, warned) = (count(CheckResult::Fail), count(CheckResult::Warn));
            format!("{failed} failed, {warned} to look at")
        };
        let _ = writeln!(self.out, "{text}");
        worst
    }
}
