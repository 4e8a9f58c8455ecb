//! Findings of the doctor, printed as a growing table or as one JSON document at the end.

use std::io::Write;

use serde::Serialize;
use service_kit::findings::{self, CheckResult, OutputFormat, Printer};

use crate::pool::IceUri;

/// Advice for failures whose cause only the relay knows.
pub(super) const SEE_RELAY_LOG: &str = "see the log of the relay";

/// A check; the order is that of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The host name resolves.
    Name,
    /// The port answers on the transport of the URL.
    Port,
    /// The certificate matches the name, and expires late enough.
    Certificate,
    /// STUN Binding returns this machine's address.
    Binding,
    /// A valid credential gets an allocation.
    Allocation,
    /// An allocation can be refreshed.
    Refresh,
    /// A credential signed with another secret is rejected.
    WrongSecret,
    /// A credential signed with the empty key is rejected.
    EmptySecret,
    /// An expired credential is rejected.
    Expiry,
    /// The clocks of relay and service agree.
    Clock,
    /// The relay denies peers in private networks.
    Peers,
    /// One user gets the allocations of a call, but not every port.
    Quota,
}

impl Check {
    /// Checks of every ICE server.
    pub(super) const OF_STUN: [Self; 4] =
        [Self::Name, Self::Port, Self::Certificate, Self::Binding];
    /// Further checks of a TURN relay.
    pub(super) const OF_TURN: [Self; 8] = [
        Self::Allocation,
        Self::Refresh,
        Self::WrongSecret,
        Self::EmptySecret,
        Self::Expiry,
        Self::Clock,
        Self::Peers,
        Self::Quota,
    ];
}

impl findings::Check for Check {
    const WIDTH: usize = 12;

    fn label(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Port => "port",
            Self::Certificate => "certificate",
            Self::Binding => "binding",
            Self::Allocation => "allocation",
            Self::Refresh => "refresh",
            Self::WrongSecret => "wrong secret",
            Self::EmptySecret => "empty secret",
            Self::Expiry => "expiry",
            Self::Clock => "clock",
            Self::Peers => "peers",
            Self::Quota => "quota",
        }
    }
}

/// The outcome of one check of a relay.
pub type Finding = findings::Finding<Check>;

/// Collects the findings and prints them.
pub struct Report<'a> {
    printer: Printer<'a>,
    relays: Vec<UrlFindings>,
}

#[derive(Serialize)]
struct UrlFindings {
    name: String,
    url: String,
    checks: Vec<Finding>,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    verdict: CheckResult,
    relays: &'a [UrlFindings],
}

impl<'a> Report<'a> {
    /// Starts a report that is printed to `out`.
    pub fn new(format: OutputFormat, out: &'a mut (dyn Write + Send)) -> Self {
        Self { printer: Printer::new(format, out), relays: Vec::new() }
    }

    pub(super) fn begin(&mut self, name: &str, uri: &IceUri) {
        self.printer.line(&format!("{uri} ({name})"));
        let (name, url) = (name.to_owned(), uri.to_string());
        self.relays.push(UrlFindings { name, url, checks: Vec::new() });
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.printer.finding("  ", &finding);
        let relay = self.relays.last_mut().expect("begin() is called before add()");
        relay.checks.push(finding);
    }

    /// Ends the report and returns the worst result.
    pub(super) fn end(self) -> CheckResult {
        let findings = self.relays.iter().flat_map(|relay| &relay.checks);
        self.printer.end(findings, |verdict| JsonReport { verdict, relays: &self.relays })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(style: OutputFormat) -> (String, CheckResult) {
        let mut out = Vec::new();
        let mut report = Report::new(style, &mut out);
        report.begin("eu-1", &"turn:a.example".parse().unwrap());
        report.add(Finding::ok(Check::Name, "192.0.2.1"));
        report.add(Finding::fail(Check::Peers, "permits 10.0.0.1", "deny it"));
        report.add(Finding::skipped(Check::Quota, "nothing answers"));
        let worst = report.end();
        (String::from_utf8(out).unwrap(), worst)
    }

    #[test]
    fn the_table_says_what_was_found_and_what_to_do() {
        let (text, worst) = printed(OutputFormat::Plain);
        let expected = "\
turn:a.example (eu-1)
  ok       name          192.0.2.1
  FAIL     peers         permits 10.0.0.1
                         => deny it
  skipped  quota         nothing answers
1 failed, 0 to look at
";
        assert_eq!(text, expected);
        assert_eq!(worst, CheckResult::Fail);
    }

    #[test]
    fn colours_change_no_word() {
        let (text, _) = printed(OutputFormat::Coloured);
        assert!(text.contains("\x1b[1;31mFAIL   \x1b[0m"), "{text}");
        let codes = ["\x1b[32m", "\x1b[2m", "\x1b[1;31m", "\x1b[0m"];
        let bare = codes.iter().fold(text, |text, code| text.replace(code, ""));
        assert_eq!(bare, printed(OutputFormat::Plain).0);
    }

    #[test]
    fn json_says_the_same_as_the_table() {
        let (text, _) = printed(OutputFormat::Json);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "verdict": "fail",
            "relays": [{
                "name": "eu-1",
                "url": "turn:a.example",
                "checks": [
                    {"check": "name", "verdict": "ok", "found": "192.0.2.1"},
                    {"check": "peers", "verdict": "fail", "found": "permits 10.0.0.1", "advice": "\
                        deny it"},
                    {"check": "quota", "verdict": "skipped", "found": "nothing answers"},
                ],
            }],
        });
        assert_eq!(json, expected);
    }
}
