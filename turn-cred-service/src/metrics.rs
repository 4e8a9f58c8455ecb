//! What the service counts.

use std::time::Duration;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry};

/// The listener an answer was given on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Public,
    Internal,
}

impl Side {
    fn label(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
        }
    }
}

/// The counters of one service. Labels come from closed sets, never from callers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    issued: IntCounterVec,
    refused: IntCounterVec,
    seconds: Histogram,
}

impl Metrics {
    /// Makes and registers them.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let issued = IntCounterVec::new(
            Opts::new("turncred_issued_total", "Credentials handed out."),
            &["listener"],
        )?;
        let refused = IntCounterVec::new(
            Opts::new("turncred_refused_total", "Requests refused, by reason."),
            &["reason"],
        )?;
        let buckets = vec![0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0];
        let seconds = Histogram::with_opts(
            HistogramOpts::new("turncred_issue_seconds", "Time to answer with a credential.")
                .buckets(buckets),
        )?;
        let build = IntGaugeVec::new(
            Opts::new("turncred_build_info", "Always 1; the version is a label."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(issued.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(build))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self { registry, issued, refused, seconds })
    }

    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    pub(crate) fn count_issued(&self, side: Side, took: Duration) {
        self.issued.with_label_values(&[side.label()]).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn count_refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}
