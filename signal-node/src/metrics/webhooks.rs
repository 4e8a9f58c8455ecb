//! What is counted of webhooks.

use std::time::Duration;

use prometheus::{Gauge, IntCounterVec, Registry};

use super::{begin, counters, gauge};

/// What came of an attempt to deliver a message.
#[expect(missing_docs, reason = "the help text says it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookOutcome {
    Delivered,
    Failed,
    /// It failed for too long, and is kept as a dead letter.
    Dead,
}

impl WebhookOutcome {
    const ALL: [Self; 3] = [Self::Delivered, Self::Failed, Self::Dead];

    const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }
}

/// The counters of webhooks.
pub struct WebhookMetrics {
    outcomes: IntCounterVec,
    pending: Gauge,
}

impl WebhookMetrics {
    pub(super) fn registered(r: &Registry) -> Self {
        let help =
            "Attempts to deliver webhooks, by outcome; dead: given up after the last of them.";
        let outcomes = counters(r, "signal_webhooks_total", help, "outcome");
        begin(&outcomes, WebhookOutcome::ALL.map(WebhookOutcome::name));
        let help = "For how long the oldest webhook that this node has to deliver has waited here.";
        Self { outcomes, pending: gauge(r, "signal_webhook_pending_seconds", help) }
    }

    /// Counts an attempt.
    pub fn count(&self, outcome: WebhookOutcome) {
        self.outcomes.with_label_values(&[outcome.name()]).inc();
    }

    /// Sets for how long the oldest message has waited.
    pub fn pending(&self, time: Duration) {
        self.pending.set(time.as_secs_f64());
    }
}
