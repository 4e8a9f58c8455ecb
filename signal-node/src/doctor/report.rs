//! The report of `signal-node doctor`.

use std::io::Write;

use serde::Serialize;
use service_kit::findings::{self, CheckResult, OutputFormat, Printer};

/// The name of a check, in the table and in JSON.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Check(&'static str);

impl findings::Check for Check {
    const WIDTH: usize = 8;

    fn label(self) -> &'static str {
        self.0
    }
}

/// The outcome of one check.
pub(super) type Finding = findings::Finding<Check>;

pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding::ok(Check(check), found)
}

pub(super) fn warn(check: &'static str, found: impl Into<String>, advice: &'static str) -> Finding {
    Finding::warn(Check(check), found, advice)
}

pub(super) fn fail(check: &'static str, found: impl Into<String>, advice: &'static str) -> Finding {
    Finding::fail(Check(check), found, advice)
}

/// The whole report as one JSON document.
#[derive(Serialize)]
struct JsonReport<'a> {
    verdict: CheckResult,
    checks: &'a [Finding],
}

/// Collects the findings and prints them.
pub(super) struct Report<'a> {
    printer: Printer<'a>,
    findings: Vec<Finding>,
}

impl<'a> Report<'a> {
    pub(super) fn new(format: OutputFormat, out: &'a mut (dyn Write + Send)) -> Self {
        Self { printer: Printer::new(format, out), findings: Vec::new() }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.printer.finding("", &finding);
        self.findings.push(finding);
    }

    /// Ends the report and returns the worst result.
    pub(super) fn end(self) -> CheckResult {
        let checks = &self.findings;
        self.printer.end(checks.iter(), |verdict| JsonReport { verdict, checks })
    }
}
