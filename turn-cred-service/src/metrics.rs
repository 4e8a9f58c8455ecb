//! Prometheus metrics of the service.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Buckets around an answer computed from memory, in seconds.
const ISSUE_BUCKETS: [f64; 9] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0];

/// Buckets around one probe of a relay, in seconds.
const PROBE_BUCKETS: [f64; 8] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// The listener that served a request; a metric label.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ListenerKind {
    Public,
    Internal,
}

impl ListenerKind {
    fn label(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
        }
    }
}

/// The counters of one service. Label values come from closed sets or the settings, never from
/// requests, so a caller cannot create new time series.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    issued: IntCounterVec,
    refused: IntCounterVec,
    seconds: Histogram,
    /// When the current secret began to sign, in Unix seconds.
    pub(crate) secret_since: IntGauge,
    pub(crate) relays: RelayMetrics,
    pub(crate) usage: UsageMetrics,
}

/// Results of the relay probes.
#[derive(Clone, Debug)]
pub(crate) struct RelayMetrics {
    /// 1 while a URL of a relay is offered to clients.
    pub(crate) up: IntGaugeVec,
    pub(crate) probes: IntCounterVec,
    pub(crate) probe_seconds: Histogram,
    /// 1 while no relay works.
    pub(crate) degraded: IntGauge,
    /// Seconds by which a relay's clock is ahead of this machine's.
    pub(crate) clock_skew: IntGaugeVec,
}

/// Usage reported by the relays while this process held the counting lease.
#[derive(Clone, Debug)]
pub(crate) struct UsageMetrics {
    pub(crate) relayed: IntCounter,
    pub(crate) allocations: IntCounterVec,
    pub(crate) over_budget: IntCounter,
}

/// Creates collectors and registers them in one step.
struct MetricRegistrar<'a>(&'a Registry);

impl MetricRegistrar<'_> {
    fn register<C: Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::new(name, help))
    }

    fn counter_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(options))
    }
}

impl RelayMetrics {
    fn new(registrar: &MetricRegistrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            up: registrar.gauge_vec(
                "turncred_relay_up",
                "1 while a URL of a relay works and is offered to clients.",
                &["relay", "uri"],
            )?,
            probes: registrar.counter_vec(
                "turncred_probes_total",
                "Probes of relays, by result.",
                &["relay", "result"],
            )?,
            probe_seconds: registrar.histogram(
                "turncred_probe_seconds",
                "Duration of a relay probe.",
                &PROBE_BUCKETS,
            )?,
            degraded: registrar.gauge(
                "turncred_degraded",
                "1 while no relay works and a failing one is offered.",
            )?,
            clock_skew: registrar.gauge_vec(
                "turncred_relay_clock_skew_seconds",
                "Seconds that a relay's clock is ahead, measured by the expiries it accepts.",
                &["relay"],
            )?,
        })
    }
}

impl UsageMetrics {
    fn new(registrar: &MetricRegistrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            relayed: registrar.counter(
                "turncred_relayed_bytes_total",
                "Bytes to and from clients, reported by the relays while this instance counted.",
            )?,
            allocations: registrar.counter_vec(
                "turncred_allocations_total",
                "Allocations reported by the relays while this instance counted.",
                &["event"],
            )?,
            over_budget: registrar
                .counter("turncred_overdrawn_total", "Subjects that exceeded their budget.")?,
        })
    }
}

/// Label values of `turncred_refused_total`.
const REFUSAL_REASONS: [&str; 23] = [
    "api_key",
    "api_keys_unset",
    "body",
    "budget",
    "denied",
    "host",
    "keys",
    "no_api_key",
    "no_token",
    "origin",
    "rate_ip",
    "rate_subject",
    "redis",
    "region",
    "right",
    "service",
    "starting",
    "subject",
    "token",
    "token_expired",
    "token_revoked",
    "denial",
    "ttl",
];

impl Metrics {
    /// Creates the metrics. Series with a closed set of labels start at 0: `rate()` misses the
    /// first event of a series that appears with value 1.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self::register_all()?;
        for reason in REFUSAL_REASONS {
            metrics.refused.with_label_values(&[reason]);
        }
        for listener in [ListenerKind::Public, ListenerKind::Internal] {
            metrics.issued.with_label_values(&[listener.label()]);
        }
        Ok(metrics)
    }

    fn register_all() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let registrar = MetricRegistrar(&registry);
        registrar
            .gauge_vec("turncred_build_info", "Always 1; the version is a label.", &["version"])?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            issued: registrar.counter_vec(
                "turncred_issued_total",
                "Credentials issued.",
                &["listener"],
            )?,
            refused: registrar.counter_vec(
                "turncred_refused_total",
                "Requests rejected, by reason.",
                &["reason"],
            )?,
            seconds: registrar.histogram(
                "turncred_issue_seconds",
                "Time to answer with a credential.",
                &ISSUE_BUCKETS,
            )?,
            secret_since: registrar.gauge(
                "turncred_secret_since_seconds",
                "When the current secret began to sign, in seconds since 1970; 0 if it comes from \
                 the settings.",
            )?,
            relays: RelayMetrics::new(&registrar)?,
            usage: UsageMetrics::new(&registrar)?,
            registry,
        })
    }

    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    pub(crate) fn count_issued(&self, listener: ListenerKind, took: Duration) {
        self.issued.with_label_values(&[listener.label()]).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn count_refused(&self, reason: &'static str) {
        debug_assert!(REFUSAL_REASONS.contains(&reason), "{reason} begins at 0 like the others");
        self.refused.with_label_values(&[reason]).inc();
    }
}
