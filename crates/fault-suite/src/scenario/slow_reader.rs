//! Clients that stop reading in a busy room.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use signal_protocol::PeerKey;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::measure::latencies;
use super::{Options, Report, Rig, ScenarioError, ScenarioSettings, stage};
use crate::client::{Behaviour, Pace, Phase, Profile, Socket, UNRECORDED, dial, token};
use crate::history::Peer;
use crate::report::{Figure, count};

/// Members of the room who read what they are sent.
const READERS: u32 = 8;
/// Members who stop.
const SLOW: usize = 20;
/// Bytes of ballast in each signal, so that the buffers of the kernel fill soon.
const BALLAST: usize = 8 * 1024;
/// The quiet stretch that the other is compared with.
const QUIET: Duration = Duration::from_secs(15);
/// Long enough for the buffers of kernel and node to fill, and the ten seconds after.
const STUCK: Duration = Duration::from_secs(45);
/// What a node may hold for one of them.
const OUTBOX: f64 = 1024.0 * 1024.0;

/// What was measured besides the history.
struct Measured {
    stopped_at: u64,
    closed: f64,
    returned: usize,
    growth: f64,
}

/// Runs it.
pub async fn slow_reader(options: &Options) -> Report {
    let settings = ScenarioSettings::default();
    let (history, ended) =
        stage("slow-reader", options, &settings, async |rig| stuck(rig).await).await;
    Report::new("slow-reader", options, history, ended, |history, measured: Measured| {
        let quiet = latencies(history, 0, measured.stopped_at).ms(99);
        let others = latencies(history, measured.stopped_at, u64::MAX).ms(99);
        let most = count(SLOW) * OUTBOX / 1e6;
        vec![
            Figure::at_least("readers that stopped, closed 4002", measured.closed, count(SLOW), ""),
            Figure::at_least(
                "of these back in the room",
                count(measured.returned),
                count(SLOW),
                "",
            ),
            Figure::at_most("memory of their node grew by", measured.growth / 1e6, most, "MB"),
            Figure::told("delivery to the others before, p99", quiet, "ms"),
            Figure::at_most("delivery to the others meanwhile, p99", others, quiet * 2.0, "ms"),
        ]
    })
}

async fn stuck(rig: &mut Rig) -> Result<Measured, ScenarioError> {
    let pace = Pace { every: Duration::from_millis(500), burst: 5 };
    let reader = |number: u32| Profile {
        room: 0,
        pace: Some(pace),
        behaviour: Behaviour::Stays,
        ballast: BALLAST,
        endpoint: usize::try_from(number % 3).ok(),
    };
    rig.gather((0..READERS).map(reader), Duration::from_secs(30)).await?;
    let reading = watch::Sender::new(true);
    let slow = (0..SLOW).map(|number| SlowReader::new(rig, number).live(reading.subscribe()));
    let slow: Vec<_> = slow.map(tokio::spawn).collect();
    rig.phase(Phase::Load);
    rig.load_for(QUIET).await;
    let before = resident(rig);
    let stopped_at = rig.context.recorder.now();
    reading.send_replace(false);
    let growth = watch_memory(rig, before).await;
    reading.send_replace(true);
    let returned = returned(slow).await;
    let counted = rig.cluster.nodes[0].metrics().await?;
    let closed = counted.sum("signal_connections_closed_total{code=\"4002\"}");
    rig.close(Duration::from_secs(60)).await?;
    Ok(Measured { stopped_at, closed, returned, growth })
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn resident(rig: &Rig) -> f64 {
    rig.cluster.nodes[0].resident().unwrap_or_default() as f64
}

/// The most by which the memory of the node grows while nobody of the slow ones reads.
async fn watch_memory(rig: &Rig, before: f64) -> f64 {
    let mut ticks = interval(Duration::from_millis(100));
    let until = Instant::now() + STUCK;
    let mut most: f64 = 0.0;
    while Instant::now() < until {
        ticks.tick().await;
        most = most.max(resident(rig) - before);
    }
    most
}

/// How many came back after they were closed.
async fn returned(slow: Vec<JoinHandle<Option<()>>>) -> usize {
    let mut returned = 0;
    for client in slow {
        // One that never ends was not closed at all.
        let ended = timeout(Duration::from_secs(20), client).await;
        returned += usize::from(matches!(ended, Ok(Ok(Some(())))));
    }
    returned
}

/// A client that reads only while it is told to.
struct SlowReader {
    node: SocketAddr,
    token: String,
    key: String,
}

impl SlowReader {
    /// Makes one whom the others know.
    fn new(rig: &Rig, number: usize) -> Self {
        let key = service_kit::random::token();
        let parsed: PeerKey = key.parse().expect("a drawn token has the form of a key");
        let client = UNRECORDED + u32::try_from(number).unwrap_or_default();
        let id = parsed.peer().as_str().to_owned();
        rig.context.directory.insert(id, Peer { client, life: 0 });
        let token = token(&format!("slow{number}"));
        Self { node: rig.cluster.nodes[0].address(), token, key }
    }

    async fn enter(&self, attempt: u64) -> Option<Socket> {
        let mut socket = dial(self.node, &self.token).await.ok()?;
        let join = json!({"type": "join", "id": 1, "room": "r0", "key": self.key, "try": attempt});
        socket.send(Message::text(join.to_string())).await.ok()?;
        Some(socket)
    }

    /// Stays until it is closed, then comes back to leave.
    async fn live(self, mut reading: watch::Receiver<bool>) -> Option<()> {
        let mut socket = self.enter(1).await?;
        loop {
            reading.wait_for(|reading| *reading).await.ok()?;
            // Into full buffers no closing handshake can be written: mostly it just ends.
            let Some(Ok(Message::Text(_) | Message::Ping(_))) = socket.next().await else { break };
        }
        let mut socket = self.enter(2).await?;
        heard(&mut socket, "\"joined\"").await?;
        let leave = json!({"type": "leave", "id": 2, "room": "r0"});
        socket.send(Message::text(leave.to_string())).await.ok()?;
        heard(&mut socket, "\"ok\"").await
    }
}

/// Reads until a frame of this type.
async fn heard(socket: &mut Socket, kind: &str) -> Option<()> {
    let beginning = format!("{{\"type\":{kind}");
    loop {
        if let Message::Text(text) = socket.next().await?.ok()?
            && text.starts_with(&beginning)
        {
            return Some(());
        }
    }
}
