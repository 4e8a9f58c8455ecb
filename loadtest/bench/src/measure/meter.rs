//! Counting over a window: deliveries, their latency, and what the servers paid for them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::problem::Problem;
use crate::servers::Fleet;

/// How long a load runs before it counts: caches fill, compilers compile.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// Shared by all clients of a load.
#[derive(Default)]
pub(crate) struct Meter {
    counting: Cell<bool>,
    stopped: Cell<bool>,
    delivered: Cell<u64>,
    latencies: RefCell<Vec<f64>>,
}

/// What a window brought.
#[derive(Clone, Debug)]
pub(crate) struct WindowFigures {
    /// CPU of all nodes per delivery, in µs.
    pub(crate) nodes: f64,
    /// CPU of Redis per delivery, in µs.
    pub(crate) redis: f64,
    /// Deliveries per second.
    pub(crate) rate: f64,
    /// Share of the one core that servers and Redis took.
    pub(crate) busy: f64,
    /// Latencies in ms, sorted; empty where none were taken.
    pub(crate) latencies: Vec<f64>,
}

impl WindowFigures {
    /// CPU of nodes and Redis per delivery, in µs.
    pub(crate) fn cpu(&self) -> f64 {
        self.nodes + self.redis
    }

    /// The latency that this share of deliveries does not exceed, in ms.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        crate::stats::percentile(&self.latencies, share)
    }
}

impl fmt::Display for WindowFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, redis, rate, busy, .. } = self;
        write!(
            f,
            "nodes {nodes:.2} µs, Redis {redis:.2} µs, {rate:.0} a second, {busy:.2} of a core"
        )?;
        let [p50, p99] = [0.5, 0.99].map(|share| self.percentile(share));
        write!(f, ", p50 {p50:.2} ms, p99 {p99:.2} ms")
    }
}

impl Meter {
    pub(crate) fn delivered(&self, count: u64) {
        if self.counting.get() {
            self.delivered.set(self.delivered.get() + count);
        }
    }

    /// Counts a delivery that was due then.
    pub(crate) fn delivered_since(&self, due: Instant) {
        if self.counting.get() {
            self.delivered.set(self.delivered.get() + 1);
            self.latencies.borrow_mut().push(due.elapsed().as_secs_f64() * 1e3);
        }
    }

    /// Tells clients to come to an end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }
}

/// Lets a load run, and reads what it costs in a window.
pub(crate) async fn read(
    fleet: &Fleet,
    meter: &Rc<Meter>,
    mut load: JoinSet<Result<(), Problem>>,
    window: Duration,
) -> Result<WindowFigures, Problem> {
    let measured = async {
        sleep(WARM_UP).await;
        let (before, began) = (fleet.cost()?, Instant::now());
        meter.counting.set(true);
        sleep(window).await;
        meter.counting.set(false);
        let (after, took) = (fleet.cost()?, began.elapsed().as_secs_f64());
        meter.stopped.set(true);
        let (nodes, redis) = (after.nodes - before.nodes, after.redis - before.redis);
        Ok::<_, Problem>((nodes, redis, took))
    };
    // A client that fails ends the measurement: figures of half a load are none.
    let (nodes, redis, took) = tokio::select! {
        biased;
        failed = failure(&mut load) => return Err(failed),
        measured = measured => measured?,
    };
    load.shutdown().await;
    reading(fleet, meter, (nodes, redis, took))
}

async fn failure(load: &mut JoinSet<Result<(), Problem>>) -> Problem {
    while let Some(ended) = load.join_next().await {
        if let Ok(Err(problem)) = ended {
            return problem;
        }
    }
    std::future::pending().await
}

#[expect(clippy::cast_precision_loss, reason = "some million deliveries")]
fn reading(
    fleet: &Fleet,
    meter: &Meter,
    (nodes, redis, took): (f64, f64, f64),
) -> Result<WindowFigures, Problem> {
    let delivered = meter.delivered.get() as f64;
    if delivered == 0.0 {
        return Err(Problem::Nothing(fleet.subject.name()));
    }
    let mut latencies = meter.latencies.take();
    latencies.sort_by(f64::total_cmp);
    Ok(WindowFigures {
        nodes: nodes / delivered * 1e6,
        redis: redis / delivered * 1e6,
        rate: delivered / took,
        busy: (nodes + redis) / took,
        latencies,
    })
}
