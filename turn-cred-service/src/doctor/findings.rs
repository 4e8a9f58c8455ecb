//! Findings of the doctor, printed as a growing table or as one JSON document at the end.

use std::io::Write;

use serde::Serialize;

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

    /// Name in the table.
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
pub struct Finding {
    pub check: Check,
    pub verdict: CheckResult,
    /// The observation.
    pub found: String,
    /// The remedy, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: Check, found: impl Into<String>) -> Self {
        Self { check, verdict: CheckResult::Ok, found: found.into(), advice: None }
    }

    pub(super) fn skipped(check: Check, why: impl Into<String>) -> Self {
        Self { check, verdict: CheckResult::Skipped, found: why.into(), advice: None }
    }

    pub(super) fn warn(check: Check, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: CheckResult::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    pub(super) fn fail(check: Check, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: CheckResult::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// A table.
    Plain,
    /// A table with colours, for a terminal.
    Coloured,
    /// One JSON document.
    Json,
}

/// Collects the findings and prints them.
pub struct Report<'a> {
    style: OutputFormat,
    out: &'a mut (dyn Write + Send),
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
    pub fn new(style: OutputFormat, out: &'a mut (dyn Write + Send)) -> Self {
        Self { style, out, relays: Vec::new() }
    }

    pub(super) fn begin(&mut self, name: &str, uri: &IceUri) {
        self.relays.push(UrlFindings {
            name: name.to_owned(),
            url: uri.to_string(),
            checks: Vec::new(),
        });
        self.write(&format!("{uri} ({name})\n"));
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.write(&self.row(&finding));
        let relay = self.relays.last_mut().expect("begin() is called before add()");
        relay.checks.push(finding);
    }

    /// Ends the report and returns the worst result.
    pub(super) fn end(self) -> CheckResult {
        let findings = || self.relays.iter().flat_map(|relay| &relay.checks);
        let worst = findings().map(|finding| finding.verdict).max().unwrap_or(CheckResult::Ok);
        let text = if self.style == OutputFormat::Json {
            let document = JsonReport { verdict: worst, relays: &self.relays };
            serde_json::to_string_pretty(&document).expect("strings serialize") + "\n"
        } else {
            let count = |verdict| findings().filter(|found| found.verdict == verdict).count();
            let (failed, warned) = (count(CheckResult::Fail), count(CheckResult::Warn));
            format!("{failed} failed, {warned} to look at\n")
        };
        // A closed pipe (`doctor | head`) is no failure of the relays.
        let _ = self.out.write_all(text.as_bytes());
        worst
    }

    /// Prints and flushes at once: a check may take seconds.
    fn write(&mut self, text: &str) {
        if self.style != OutputFormat::Json {
            let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        }
    }

    fn row(&self, finding: &Finding) -> String {
        let Finding { check, verdict, found, advice } = finding;
        let verdict = match self.style {
            OutputFormat::Coloured => {
                format!("\x1b[{}m{:<7}\x1b[0m", verdict.colour(), verdict.label())
            }
            OutputFormat::Plain | OutputFormat::Json => format!("{:<7}", verdict.label()),
        };
        let row = format!("  {verdict}  {:<12}  {found}\n", check.label());
        match advice {
            Some(advice) => format!("{row}{:25}=> {advice}\n", ""),
            None => row,
        }
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
