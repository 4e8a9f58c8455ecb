//! Clients that stop reading in a busy room.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::measure::latencies;
use super::{Options, Report, Rig, ScenarioError, Wishes, stage};
use crate::client::{Conduct, Pace, Phase, Profile, dial, token};
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
    closed: usize,
    growth: f64,
}

/// Runs it.
pub async fn slow_reader(options: &Options) -> Report {
    let wishes = Wishes::default();
    let (history, ended) =
        stage("slow-reader", options, &wishes, async |rig| stuck(rig).await).await;
    Report::new("slow-reader", options, history, ended, |history, measured: Measured| {
        let quiet = latencies(history, 0, measured.stopped_at).ms(99);
        let others = latencies(history, measured.stopped_at, u64::MAX).ms(99);
        let most = count(SLOW) * OUTBOX / 1e6;
        vec![
            Figure::at_least(
                "readers that stopped and were closed 4002",
                count(measured.closed),
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
        conduct: Conduct::Stays,
        ballast: BALLAST,
        door: usize::try_from(number % 3).ok(),
    };
    rig.gather((0..READERS).map(reader), Duration::from_secs(30)).await?;
    let reading = watch::Sender::new(true);
    let node = rig.cluster.nodes[0].address();
    let slow: Vec<_> = (0..SLOW).map(|n| slow_client(node, n, reading.subscribe())).collect();
    rig.phase(Phase::Load);
    rig.load_for(QUIET).await;
    let before = resident(rig);
    let stopped_at = rig.context.recorder.now();
    reading.send_replace(false);
    let growth = watch_memory(rig, before).await;
    reading.send_replace(true);
    let closed = closed_slow(slow).await;
    rig.close(Duration::from_secs(60)).await?;
    Ok(Measured { stopped_at, closed, growth })
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

async fn closed_slow(slow: Vec<JoinHandle<Option<u16>>>) -> usize {
    let mut closed = 0;
    for client in slow {
        // One that never ends was not closed at all.
        let ended = timeout(Duration::from_secs(20), client).await;
        closed += usize::from(matches!(ended, Ok(Ok(Some(4002)))));
    }
    closed
}

/// Joins and reads, but not while told not to; returns the code it was closed with.
fn slow_client(
    node: SocketAddr,
    number: usize,
    mut reading: watch::Receiver<bool>,
) -> JoinHandle<Option<u16>> {
    tokio::spawn(async move {
        let mut socket = dial(node, &token(&format!("slow{number}"))).await.ok()?;
        let key = service_kit::random::token();
        let join = json!({"type": "join", "id": 1, "room": "r0", "key": key, "try": 1});
        socket.send(Message::text(join.to_string())).await.ok()?;
        loop {
            reading.wait_for(|reading| *reading).await.ok()?;
            if let Message::Close(frame) = socket.next().await?.ok()? {
                return frame.map(|frame| frame.code.into());
            }
        }
    })
}
