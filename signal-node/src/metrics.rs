//! What the node counts. Labels come from closed sets; rooms, peers and subjects are never labels.

mod calls;
mod dialects;
mod labels;
mod presence;
mod webhooks;

use std::time::Duration;

use prometheus::core::{Atomic, Collector, GenericCounter, GenericGauge};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use signal_protocol::{CloseCode, ErrorCode, Recovery};

use crate::log::Trouble;

pub use calls::{CallMetrics, TimelineDrop};
pub use dialects::{DialectMetrics, Direction};
pub use labels::{GapCause, LogCall, SlowBound, VolatileDrop};
pub use presence::PresenceMetrics;
pub use webhooks::{WebhookMetrics, WebhookOutcome};

/// Everything the node counts; written to from everywhere, read by `/metrics`.
#[expect(missing_docs, reason = "the names say it all")]
pub struct Metrics {
    /// Where `/metrics` reads.
    pub registry: Registry,
    pub connections: IntGauge,
    pub opened: IntCounter,
    /// Sockets closed, by close code.
    pub closed: IntCounterVec,
    /// Connections refused at their upgrade or, for their token or origin, right after it, by reason.
    pub rejected: IntCounterVec,
    /// Rooms with a worker here.
    pub rooms: IntGauge,
    /// Text frames read from sockets.
    pub received: IntCounter,
    /// Frames written to sockets.
    pub sent: IntCounter,
    /// Joins that took effect, by recovery.
    pub joins: IntCounterVec,
    /// Errors answered, by code.
    pub refusals: IntCounterVec,
    /// Times a room had to compare with its log, by cause.
    gaps: IntCounterVec,
    /// Times this node put back what the log had lost.
    pub resets: IntCounter,
    /// Members taken back after a suspicion.
    pub reclaimed: IntCounter,
    /// Nodes that are silent.
    pub silent: IntGauge,
    /// Whether the log answers, accepts writes and is heard.
    pub log_up: IntGauge,
    /// What is wrong with it, by kind.
    trouble: IntGaugeVec,
    /// Requests refused because too much was waiting in their room.
    pub room_refusals: IntCounter,
    /// Panics in the task of a room, each of which closed the members of that room here.
    pub room_panics: IntCounter,
    /// Subjects and tokens that are revoked.
    pub revocations: IntGauge,
    /// Messages to all members refused because they would multiply too much.
    pub fanout_refusals: IntCounter,
    /// Connections closed because they did not read, by the bound they passed.
    slow: IntCounterVec,
    /// Whether the node is about to stop.
    pub draining: IntGauge,
    /// Calls to the log that were made again.
    pub log_repeats: IntCounter,
    /// How long the log took to answer, by kind of call.
    log_seconds: HistogramVec,
    /// Steps of rooms that wait for their call to the log, or for its answer.
    pub log_queued: IntGauge,
    /// Volatile signals that were dropped, by cause.
    volatile_dropped: IntCounterVec,
    /// Whether the credential service gives no good answer.
    pub credentials_failing: IntGauge,
    /// Requests to the credential service, by result.
    pub ice_fetches: IntCounterVec,
    /// How long they took.
    pub ice_seconds: HistogramVec,
    /// What clients that do not speak `signal.v1` do.
    pub dialects: DialectMetrics,
    /// What clients report of their calls.
    pub calls: CallMetrics,
    /// Devices and watchers of users.
    pub presence: PresenceMetrics,
    /// What back ends are told of.
    pub webhooks: WebhookMetrics,
}

/// Buckets for a call to Redis in the same network, up to the time limit of a call.
const LOG_BUCKETS: [f64; 11] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Buckets for a request on the same host, with 500 ms as the bound.
const ICE_BUCKETS: [f64; 8] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5];

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    registry.register(Box::new(metric.clone())).expect("each name is used once");
    metric
}

fn counter<P: Atomic + 'static>(registry: &Registry, name: &str, help: &str) -> GenericCounter<P> {
    let metric = GenericCounter::new(name, help).expect("the name is a valid one");
    registered(registry, metric)
}

fn gauge<P: Atomic + 'static>(registry: &Registry, name: &str, help: &str) -> GenericGauge<P> {
    let metric = GenericGauge::new(name, help).expect("the name is a valid one");
    registered(registry, metric)
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> IntCounterVec {
    let metric = IntCounterVec::new(Opts::new(name, help), &[label]).expect("the names are valid");
    registered(registry, metric)
}

fn seconds(
    registry: &Registry,
    (name, help): (&str, &str),
    buckets: &[f64],
    labels: &[&str],
) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(opts, labels).expect("the names are valid"))
}

fn begin(counters: &IntCounterVec, labels: impl IntoIterator<Item = impl AsRef<str>>) {
    for label in labels {
        counters.with_label_values(&[label.as_ref()]);
    }
}

fn build_info(registry: &Registry) {
    let opts = Opts::new("signal_build_info", "The version of this node, as a label.");
    let metric = IntGaugeVec::new(opts, &["version"]).expect("the names are valid");
    metric.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registered(registry, metric);
}

fn trouble(registry: &Registry) -> IntGaugeVec {
    let opts = Opts::new("signal_log_trouble", "1 for what is wrong with the room log now.");
    let metric = IntGaugeVec::new(opts, &["kind"]).expect("the names are valid");
    registered(registry, metric)
}

fn log_seconds(registry: &Registry) -> HistogramVec {
    let names = ("signal_log_call_seconds", "How long the room log took to answer.");
    seconds(registry, names, &LOG_BUCKETS, &["call"])
}

fn ice_fetches(registry: &Registry) -> IntCounterVec {
    let help = "Requests to the credential service.";
    counters(registry, "signal_ice_fetches_total", help, "result")
}

fn credentials_failing(registry: &Registry) -> IntGauge {
    let help = "1 while the credential service gives no good answer.";
    gauge(registry, "signal_credentials_failing", help)
}

fn ice_seconds(registry: &Registry) -> HistogramVec {
    let names = ("signal_ice_fetch_seconds", "How long the credential service took.");
    seconds(registry, names, &ICE_BUCKETS, &[])
}

fn volatile_dropped(registry: &Registry) -> IntCounterVec {
    counters(registry, "signal_volatile_dropped_total", "Volatile signals dropped.", "cause")
}

/// Why an upgrade is refused.
pub const REJECTIONS: [&str; 9] = [
    "address",
    "capacity",
    "draining",
    "malformed",
    "origin",
    "rate",
    "starting",
    "token",
    "unverified",
];

/// What becomes of a question for ICE servers.
pub const FETCHES: [&str; 2] = ["ok", "unavailable"];

/// Close codes that are the frame layer's, and `client` and `none` for those that are not ours.
const OTHER_CLOSES: [&str; 6] = ["1002", "1003", "1007", "1009", "client", "none"];

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self::registered();
        metrics.begin_at_zero();
        metrics
    }

    /// Begins every series of a closed set, so that its first event is an increase.
    fn begin_at_zero(&self) {
        begin(&self.rejected, REJECTIONS);
        begin(&self.ice_fetches, FETCHES);
        begin(&self.closed, OTHER_CLOSES);
        begin(&self.closed, CloseCode::ALL.map(|code| code.number().to_string()));
        begin(&self.refusals, ErrorCode::ALL.iter().map(|code| code.name()));
        begin(&self.gaps, GapCause::ALL.map(GapCause::name));
        begin(&self.slow, SlowBound::ALL.map(SlowBound::name));
        begin(&self.joins, Recovery::ALL.map(Recovery::name));
        begin(&self.volatile_dropped, VolatileDrop::ALL.map(VolatileDrop::name));
        for kind in LogCall::ALL {
            self.log_seconds.with_label_values(&[kind.name()]);
        }
        for kind in Trouble::NAMES {
            self.trouble.with_label_values(&[kind]).set(0);
        }
    }

    fn registered() -> Self {
        let registry = Registry::new();
        let r = &registry;
        build_info(r);
        #[cfg(target_os = "linux")]
        registered_process(r);
        Self {
            connections: gauge(r, "signal_connections", "WebSocket connections open now."),
            opened: counter(r, "signal_connections_opened_total", "WebSocket connections opened."),
            closed: counters(r, "signal_connections_closed_total", "Connections closed.", "code"),
            rejected: counters(r, "signal_upgrade_rejected_total", "Upgrades refused.", "reason"),
            rooms: gauge(r, "signal_rooms", "Rooms with members on this node."),
            received: counter(r, "signal_frames_received_total", "Text frames read from sockets."),
            sent: counter(r, "signal_frames_sent_total", "Text frames written to sockets."),
            joins: counters(r, "signal_joins_total", "Joins that took effect.", "recovery"),
            refusals: counters(r, "signal_errors_total", "Errors answered.", "code"),
            gaps: counters(
                r,
                "signal_log_gaps_total",
                "Times a room compared with its log.",
                "cause",
            ),
            resets: counter(r, "signal_log_resets_total", "Times lost history was put back."),
            reclaimed: counter(
                r,
                "signal_members_reclaimed_total",
                "Suspected members taken back.",
            ),
            silent: gauge(r, "signal_nodes_silent", "Other nodes whose heartbeat has stopped."),
            log_up: gauge(r, "signal_log_up", "1 while nothing is wrong with the room log."),
            trouble: trouble(r),
            room_refusals: counter(
                r,
                "signal_room_refusals_total",
                "Requests refused because too much was waiting in their room.",
            ),
            room_panics: counter(r, "signal_room_panics_total", "Panics in the tasks of rooms."),
            revocations: gauge(r, "signal_revocations", "Revoked subjects and tokens."),
            fanout_refusals: counter(
                r,
                "signal_fanout_refusals_total",
                "Messages to all members refused because they would multiply too much.",
            ),
            slow: counters(r, "signal_slow_consumers_total", "Connections closed 4002.", "bound"),
            draining: gauge(r, "signal_draining", "1 while the node hands its clients over."),
            log_repeats: counter(r, "signal_log_repeats_total", "Calls to the log made again."),
            log_seconds: log_seconds(r),
            log_queued: gauge(r, "signal_log_queued", "Steps of rooms that wait for the log."),
            volatile_dropped: volatile_dropped(r),
            credentials_failing: credentials_failing(r),
            ice_fetches: ice_fetches(r),
            ice_seconds: ice_seconds(r),
            dialects: DialectMetrics::registered(r),
            calls: CallMetrics::registered(r),
            presence: PresenceMetrics::registered(r),
            webhooks: WebhookMetrics::registered(r),
            registry,
        }
    }

    /// Reports what is wrong with the log, if anything is.
    pub fn log_trouble(&self, trouble: Option<&Trouble>) {
        self.log_up.set(i64::from(trouble.is_none()));
        for kind in Trouble::NAMES {
            let is_it = trouble.is_some_and(|trouble| trouble.name() == kind);
            self.trouble.with_label_values(&[kind]).set(i64::from(is_it));
        }
    }

    /// Counts an error that was answered.
    pub fn refused(&self, code: ErrorCode) {
        self.refusals.with_label_values(&[code.name()]).inc();
    }

    /// Counts a join that took effect.
    pub fn joined(&self, recovery: Recovery) {
        self.joins.with_label_values(&[recovery.name()]).inc();
    }

    /// Counts a comparison of a room with its log.
    pub fn gap(&self, cause: GapCause) {
        self.gaps.with_label_values(&[cause.name()]).inc();
    }

    /// Observes how long the log took to answer a call.
    pub fn log_call(&self, kind: LogCall, took: Duration) {
        self.log_seconds.with_label_values(&[kind.name()]).observe(took.as_secs_f64());
    }

    /// Counts volatile signals that were dropped.
    pub fn volatile_dropped(&self, cause: VolatileDrop, count: usize) {
        self.volatile_dropped.with_label_values(&[cause.name()]).inc_by(count as u64);
    }

    /// Counts a connection that was closed because it did not read.
    pub fn slow(&self, bound: SlowBound) {
        self.slow.with_label_values(&[bound.name()]).inc();
    }
}

/// What one owner adds to a gauge of many; gone with the owner.
pub struct GaugeShare {
    gauge: IntGauge,
    share: i64,
}

impl GaugeShare {
    /// Adds nothing yet.
    #[must_use]
    pub fn new(gauge: &IntGauge) -> Self {
        Self { gauge: gauge.clone(), share: 0 }
    }

    /// Sets what the owner adds.
    pub fn set(&mut self, share: usize) {
        let share = i64::try_from(share).unwrap_or(i64::MAX);
        if share != self.share {
            self.gauge.add(share - self.share);
            self.share = share;
        }
    }
}

impl Drop for GaugeShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(target_os = "linux")]
fn registered_process(registry: &Registry) {
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry.register(Box::new(process)).expect("each name is used once");
}
