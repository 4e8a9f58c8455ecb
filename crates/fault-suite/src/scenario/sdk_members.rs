//! Members over the JavaScript SDK in a process of Node.js: what it does and checks is in `crates/fault-suite/sdk`.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{Rig, ScenarioError};
use crate::cluster::{ProcessError, SECRET};
use crate::report::Figure;

/// What Node.js runs.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/members.js");
/// How long they take to be in their rooms.
const JOIN_WITHIN: Duration = Duration::from_secs(60);
/// How long they may take to settle at the end, and a little more: they say themselves what was not settled.
const END_WITHIN: Duration = Duration::from_secs(80);
/// How often each of them says something, in milliseconds.
const EVERY: u32 = 500;

/// What they did, and what must not have happened.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct SdkVerdict {
    sent: f64,
    received: f64,
    reloads: f64,
    renewals: f64,
    violations: Vec<String>,
}

pub(super) struct SdkMembers {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl SdkMembers {
    /// Starts them, and waits until they are in their rooms.
    pub(super) async fn start(rig: &Rig, users: u32) -> Result<Self, ScenarioError> {
        let mut command = Command::new("node");
        command.arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let hint = "the members over the SDK need Node.js 20; --sdk-members 0 does without them";
        let missing = |error| ProcessError::Missing("node".to_owned(), error, hint);
        let mut child = command.spawn().map_err(missing)?;
        let (input, output) =
            child.stdin.take().zip(child.stdout.take()).ok_or(ScenarioError::Sdk)?;
        let mut members = Self { child, input, output: BufReader::new(output).lines() };
        let urls = rig.cluster.proxy_addresses().into_iter().map(|at| format!("ws://{at}"));
        let urls: Vec<_> = urls.collect();
        let settings = json!({ "users": users, "urls": urls, "secret": SECRET, "every": EVERY });
        members.tell(&settings.to_string()).await?;
        members.line(JOIN_WITHIN).await?;
        Ok(members)
    }

    /// Has them settle, and returns what they found.
    pub(super) async fn end(mut self) -> Result<SdkVerdict, ScenarioError> {
        self.tell("end").await?;
        let line = self.line(END_WITHIN).await?;
        let verdict = serde_json::from_str(&line).map_err(|_| ScenarioError::Sdk)?;
        drop(self.child);
        Ok(verdict)
    }

    async fn tell(&mut self, line: &str) -> Result<(), ScenarioError> {
        let line = format!("{line}\n");
        Ok(self.input.write_all(line.as_bytes()).await.map_err(ProcessError::Io)?)
    }

    async fn line(&mut self, within: Duration) -> Result<String, ScenarioError> {
        let read = timeout(within, self.output.next_line()).await;
        let line = read.map_err(|_| ScenarioError::Late("members over the SDK answer", within))?;
        line.map_err(ProcessError::Io)?.ok_or(ScenarioError::Sdk)
    }
}

impl SdkVerdict {
    /// What is told of them; violations are printed one a line.
    pub(super) fn figures(&self) -> Vec<Figure> {
        for violation in &self.violations {
            eprintln!("  SDK: {violation}");
        }
        let violations = crate::report::count(self.violations.len());
        vec![
            Figure::told("signals sent over the SDK", self.sent, ""),
            Figure::told("deliveries over the SDK", self.received, ""),
            Figure::told("reloads of pages", self.reloads, ""),
            Figure::told("tokens of pages", self.renewals, ""),
            Figure::at_most("violations found by pages", violations, 0.0, ""),
        ]
    }
}
