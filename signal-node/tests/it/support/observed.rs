//! A node or a credential service as a process of its own, with all that it says, and a collector of its spans.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::process::{PROGRAM, send};

/// The credential service, which a build of the workspace has put beside the node.
pub(crate) fn credential_service() -> PathBuf {
    let program = Path::new(PROGRAM).with_file_name("turn-cred-service");
    assert!(program.exists(), "it is not built: cargo build -p turn-cred-service");
    program
}

/// A running process; it is killed with this value.
pub(crate) struct Observed {
    child: Child,
    /// What it said of where it listens.
    pub(crate) told: Value,
    log: PathBuf,
}

impl Observed {
    /// Starts a program whose log goes to a file in `folder`, and waits until it says where it listens.
    pub(crate) async fn start(program: &Path, log: PathBuf, variables: &[(&str, String)]) -> Self {
        let mut child = Command::new(program)
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap();
        let line = line.unwrap_or_else(|| panic!("{}", fs::read_to_string(&log).unwrap()));
        Self { child, told: serde_json::from_str(&line).unwrap(), log }
    }

    pub(crate) fn at(&self, listener: &str) -> &str {
        self.told[listener].as_str().unwrap()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// What the process list shows of it to everybody.
    pub(crate) fn command_line(&self) -> Vec<u8> {
        fs::read(format!("/proc/{}/cmdline", self.child.id().unwrap())).unwrap()
    }

    /// Sends SIGTERM and returns the exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        send(self.child.id().unwrap(), "TERM");
        self.child.wait().await.unwrap().code()
    }
}

/// Spans that may wait for a test to look at them.
const MOST: usize = 10_000;

/// One span as the collector got it.
#[derive(Clone, Debug)]
pub(crate) struct Collected {
    pub(crate) process: String,
    pub(crate) name: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) parent: Vec<u8>,
}

/// A collector that speaks OTLP over HTTP, in the official messages; it ends with this value.
pub(crate) struct Collector {
    pub(crate) url: String,
    spans: mpsc::Receiver<Collected>,
    /// Everything that came, for a search through all of it.
    raw: mpsc::Receiver<Bytes>,
    serving: JoinHandle<()>,
}

type Senders = (mpsc::Sender<Collected>, mpsc::Sender<Bytes>);

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ((span, spans), (bytes, raw)) = (mpsc::channel(MOST), mpsc::channel(MOST));
        let router = Router::new().route("/v1/traces", post(collect)).with_state((span, bytes));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, spans, raw, serving }
    }

    /// Waits for the next span.
    pub(crate) async fn next(&mut self) -> Collected {
        self.spans.recv().await.unwrap()
    }

    /// Everything that has come so far, as it came.
    pub(crate) fn raw(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.raw.try_recv().ok()).flatten().collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn collect(State((spans, raw)): State<Senders>, body: Bytes) -> &'static str {
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let _ = raw.try_send(body);
    for resource in request.resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        let said =
            |key: &str| attributes.iter().find(|a| a.key == key).map(|a| format!("{:?}", a.value));
        let process =
            said("service.name").unwrap() + &said("service.instance.id").unwrap_or_default();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let (name, process) = (span.name, process.clone());
            let (trace, id, parent) = (span.trace_id, span.span_id, span.parent_span_id);
            let _ = spans.try_send(Collected { process, name, trace, id, parent });
        }
    }
    ""
}
