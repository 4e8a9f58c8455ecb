//! What is counted of clients that do not speak `signal.v1`.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use signal_dialects::{DialectName, IgnoredReason, PostOutcome};

/// The counters of all dialects.
pub struct DialectMetrics {
    connections: IntGaugeVec,
    frames: IntCounterVec,
    posts: IntCounterVec,
    ignored: IntCounterVec,
}

/// The way of a frame.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Received,
    Sent,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

fn outcome_name(outcome: PostOutcome) -> &'static str {
    match outcome {
        PostOutcome::Posted => "posted",
        PostOutcome::Gone => "gone",
        PostOutcome::Unavailable => "unavailable",
        PostOutcome::Limited => "limited",
        PostOutcome::Forbidden => "forbidden",
    }
}

fn counters(registry: &Registry, (name, help): (&str, &str), label: &str) -> IntCounterVec {
    let metric = IntCounterVec::new(Opts::new(name, help), &["dialect", label]);
    super::registered(registry, metric.expect("the names are valid"))
}

impl DialectMetrics {
    pub(super) fn registered(registry: &Registry) -> Self {
        let opts = Opts::new("signal_dialect_connections", "Open connections of a dialect.");
        let connections = IntGaugeVec::new(opts, &["dialect"]).expect("the names are valid");
        let frames = ("signal_dialect_frames_total", "Text frames of clients of a dialect.");
        let posts =
            ("signal_dialect_posts_total", "Posts into rooms of a dialect, repeated ones too.");
        let ignored = ("signal_dialect_ignored_total", "Frames of a dialect that had no effect.");
        let metrics = Self {
            connections: super::registered(registry, connections),
            frames: counters(registry, frames, "direction"),
            posts: counters(registry, posts, "outcome"),
            ignored: counters(registry, ignored, "reason"),
        };
        metrics.begin_at_zero();
        metrics
    }

    fn begin_at_zero(&self) {
        for name in DialectName::ALL.map(DialectName::as_str) {
            self.connections.with_label_values(&[name]).set(0);
            for direction in [Direction::Received, Direction::Sent] {
                self.frames.with_label_values(&[name, direction.name()]);
            }
            for outcome in PostOutcome::ALL {
                self.posts.with_label_values(&[name, outcome_name(outcome)]);
            }
            for reason in IgnoredReason::ALL {
                self.ignored.with_label_values(&[name, reason.as_str()]);
            }
        }
    }

    /// Counts a connection that opens.
    pub fn opened(&self, name: DialectName) {
        self.connections.with_label_values(&[name.as_str()]).inc();
    }

    /// Counts a connection that ends.
    pub fn closed(&self, name: DialectName) {
        self.connections.with_label_values(&[name.as_str()]).dec();
    }

    /// Counts a text frame.
    pub fn frame(&self, name: DialectName, direction: Direction) {
        self.frames.with_label_values(&[name.as_str(), direction.name()]).inc();
    }

    /// Counts what became of a post.
    pub fn posted(&self, name: DialectName, outcome: PostOutcome) {
        self.posts.with_label_values(&[name.as_str(), outcome_name(outcome)]).inc();
    }

    /// Counts a frame that had no effect.
    pub fn ignored(&self, name: DialectName, reason: IgnoredReason) {
        self.ignored.with_label_values(&[name.as_str(), reason.as_str()]).inc();
    }
}
