//! A node as a process of its own, to be stopped, continued and killed.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::node::SECRET;
use super::polling::becomes_true;
use super::redis::{TestRedis, free_port};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_signal-node");

/// A running node; it is killed with this value.
pub(crate) struct NodeProcess {
    child: Child,
    /// What it said of where it listens.
    pub(crate) told: Value,
}

impl NodeProcess {
    /// Starts the program on free ports and waits until it says where it listens.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        Self::spawn(tokio::process::Command::new(PROGRAM).stderr(Stdio::inherit()), variables).await
    }

    /// Starts it; what it logs is there to be read.
    pub(crate) async fn heard(variables: &[(&str, &str)]) -> Self {
        Self::spawn(tokio::process::Command::new(PROGRAM).stderr(Stdio::piped()), variables).await
    }

    /// Starts it with no more than so many descriptors; what it logs is there to be read.
    pub(crate) async fn with_descriptors(most: u32, variables: &[(&str, &str)]) -> Self {
        let mut shell = tokio::process::Command::new("/bin/sh");
        let script = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
        shell.args(["-c", &script, PROGRAM]).stderr(Stdio::piped());
        Self::spawn(&mut shell, variables).await
    }

    /// Starts it on ports that were free, over a Redis that is not there; what it logs is there to be read.
    pub(crate) fn without_redis(url: &str) -> Self {
        let [public, admin] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let variables = [
            ("SIGNAL_NODE_LISTEN", public.as_str()),
            ("SIGNAL_NODE_ADMIN_LISTEN", &admin),
            ("SIGNAL_NODE_BACKEND", "redis"),
            ("SIGNAL_NODE_REDIS_URL", url),
            ("SIGNAL_NODE_JWT_SECRET", SECRET),
        ];
        let mut command = tokio::process::Command::new(PROGRAM);
        let child = begin(command.stderr(Stdio::piped()), &variables);
        Self { child, told: json!({"public": public, "admin": admin}) }
    }

    async fn spawn(command: &mut tokio::process::Command, variables: &[(&str, &str)]) -> Self {
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        let mut node = Self { child: begin(command, variables), told: Value::Null };
        node.listens().await;
        node
    }

    /// Waits until it says where it listens, which it does when it serves.
    pub(crate) async fn listens(&mut self) {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        self.told = serde_json::from_str(&line).unwrap();
    }

    /// Waits until it logs this, and returns the line.
    pub(crate) async fn logs(&mut self, text: &str) -> String {
        self.logs_up_to(text).await.pop().unwrap()
    }

    /// Waits until it logs this, and returns all lines up to there.
    pub(crate) async fn logs_up_to(&mut self, text: &str) -> Vec<String> {
        let mut lines = BufReader::new(self.child.stderr.take().unwrap()).lines();
        let mut logged = Vec::new();
        loop {
            let line = lines.next_line().await.unwrap().expect("a process that goes on");
            let is_last = line.contains(text);
            logged.push(line);
            if is_last {
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return logged;
            }
        }
    }

    /// Starts one over this Redis, with these settings besides.
    pub(crate) async fn over(redis: &TestRedis, settings: &[(&str, &str)]) -> Self {
        Self::at(&redis.url(), settings).await
    }

    /// Starts one over the Redis at this URL, with these settings besides.
    pub(crate) async fn at(redis: &str, settings: &[(&str, &str)]) -> Self {
        let common = [
            ("SIGNAL_NODE_BACKEND", "redis"),
            ("SIGNAL_NODE_REDIS_URL", redis),
            ("SIGNAL_NODE_JWT_SECRET", SECRET),
        ];
        let all: Vec<_> = common.iter().chain(settings).copied().collect();
        Self::start(&all).await
    }

    pub(crate) fn address(&self) -> &str {
        self.told["public"].as_str().unwrap()
    }

    pub(crate) fn admin(&self) -> &str {
        self.told["admin"].as_str().unwrap()
    }

    /// Asks its admin listener; returns status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.admin())).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Reads a metric by its name, with its labels if it has some.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let (_, text) = self.get("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("there is no {series}")).parse().unwrap()
    }

    /// Waits until a metric is as large as that.
    pub(crate) async fn reaches(&self, series: &str, least: u64, limit: Duration) {
        let what = format!("{series} {least}");
        becomes_true(&what, limit, async || self.metric(series).await >= least).await;
    }

    /// Returns how many descriptors it has open, as it says itself: nobody else may look, since it forbids core dumps.
    pub(crate) async fn descriptors(&self) -> u64 {
        self.metric("process_open_fds").await
    }

    /// Its resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Sends a signal such as `STOP`, `CONT`, `KILL` or `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        send(self.child.id().unwrap(), name);
    }

    /// Waits for its end and returns the exit code; `None` if a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }

    /// Sends SIGTERM and returns the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        self.signal("TERM");
        self.ended().await
    }
}

fn begin(command: &mut tokio::process::Command, variables: &[(&str, &str)]) -> Child {
    command.env_clear().env("SIGNAL_NODE_DRAIN_DELAY", "0s").envs(variables.iter().copied());
    command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// Sends a signal to a child. Returns from `STOP` when the child has stopped: on a busy machine its threads run on for a while,
/// and one of them may still answer.
pub(crate) fn send(process: u32, name: &str) {
    let arguments = [format!("-{name}"), process.to_string()];
    assert!(Command::new("kill").args(arguments).status().unwrap().success());
    if name == "STOP" {
        let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
        waitid(WaitId::Pid(process), WaitIdOptions::STOPPED).unwrap();
    }
}
