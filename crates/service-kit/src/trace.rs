//! Traces of client requests: the only module that names OpenTelemetry.
//!
//! Tracing is off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set; the other standard `OTEL_…`
//! variables configure sampling. A thread exports spans from a bounded queue, so a slow collector
//! never delays a request. Spans contain sizes, kinds and outcomes, but no room, peer, subject,
//! address or payload.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    TracerProvider as _,
};
use opentelemetry::{Context, Value};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::settings::Environment;

/// Target of exported spans, which separates them from spans that only give log lines context.
pub(crate) const TARGET: &str = "otel_span";

/// Time for exporting the last spans when the process ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Header that propagates a trace (W3C Trace Context §3.2).
pub const TRACEPARENT: &str = "traceparent";

/// A sampled span that spans elsewhere can continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    trace: TraceId,
    span: SpanId,
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace, self.span)
    }
}

/// Not a sampled `traceparent` of version 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sampled traceparent")]
pub struct NotSampled;

impl FromStr for Parent {
    type Err = NotSampled;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let mut next = || parts.next().filter(|part| part.bytes().all(is_lower_hex));
        let (version, trace, span, flags) = (next(), next(), next(), next());
        let (Some("00"), Some(trace), Some(span), Some(flags)) = (version, trace, span, flags)
        else {
            return Err(NotSampled);
        };
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NotSampled)?;
        let trace = TraceId::from_hex(trace).map_err(|_| NotSampled)?;
        let span = SpanId::from_hex(span).map_err(|_| NotSampled)?;
        let whole = text.len() == 55 && trace != TraceId::INVALID && span != SpanId::INVALID;
        if whole && flags & 1 == 1 { Ok(Self { trace, span }) } else { Err(NotSampled) }
    }
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// Role of a span in a request (OpenTelemetry, `SpanKind`).
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Server,
    Client,
    /// Puts a message into a queue or log.
    Producer,
    /// Takes a message from a queue or log.
    Consumer,
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
            Kind::Producer => Self::Producer,
            Kind::Consumer => Self::Consumer,
        }
    }
}

/// A span of a sampled trace; it ends when its last clone is dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Span(tracing::Span);

impl Span {
    /// Starts a trace; `None` without a collector, or if it is not sampled.
    #[must_use]
    pub fn root(name: &'static str, kind: Kind) -> Option<Self> {
        let span = Self::new(name, kind);
        let sampled = !span.0.is_disabled() && span.parent().is_some();
        sampled.then_some(span)
    }

    /// Starts a span below another one.
    #[must_use]
    pub fn under(parent: Parent, name: &'static str, kind: Kind) -> Self {
        let span = Self::new(name, kind);
        let (state, flags) = (TraceState::NONE, TraceFlags::SAMPLED);
        let context = SpanContext::new(parent.trace, parent.span, flags, true, state);
        // Fails only without a collector; then there is no trace to continue.
        let _ = span.0.set_parent(Context::new().with_remote_span_context(context));
        span
    }

    fn new(name: &'static str, kind: Kind) -> Self {
        let kind = SpanKind::from(kind);
        let span = tracing::info_span!(
            target: TARGET, parent: None, "span", otel.name = name, otel.kind = ?kind,
            otel.status_code = Empty
        );
        Self(span)
    }

    /// Sets an attribute, named by the semantic conventions 1.37.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.0.set_attribute(key, value);
    }

    /// Sets the status to error.
    pub fn fail(&self) {
        self.0.record("otel.status_code", "ERROR");
    }

    /// Returns the context that spans elsewhere continue; `None` if the span is not sampled.
    #[must_use]
    pub fn parent(&self) -> Option<Parent> {
        let context = self.0.context();
        let span = context.span().span_context().clone();
        span.is_sampled().then(|| Parent { trace: span.trace_id(), span: span.span_id() })
    }
}

/// The exporter, if tracing is on; [`Exporter::end`] closes it.
#[derive(Debug)]
pub(crate) struct Exporter(Option<SdkTracerProvider>);

impl Exporter {
    /// Creates the exporter if the environment names an endpoint. Must not be called within a
    /// runtime.
    ///
    /// # Errors
    /// When the `OTEL_…` variables are unusable.
    pub(crate) fn open(service: &str, environment: &Environment) -> io::Result<Self> {
        if !is_enabled(environment) {
            return Ok(Self(None));
        }
        let exporter = SpanExporter::builder().with_http().build().map_err(io::Error::other)?;
        let mut resource = Resource::builder();
        if environment.get("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(service.to_owned());
        }
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter);
        Ok(Self(Some(provider.with_resource(resource.build()).build())))
    }

    /// The layer that exports spans with [`TARGET`] only.
    pub(crate) fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let tracer = self.0.as_ref()?.tracer("signal-cluster");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let layer = layer.with_location(false).with_threads(false).with_tracked_inactivity(false);
        Some(layer.with_target(false).with_filter(filter_fn(|of| of.target() == TARGET)))
    }

    /// Exports the remaining spans.
    pub(crate) fn end(self) {
        if let Some(provider) = self.0 {
            // Without a reachable collector the last spans are lost; the process must not wait
            // longer.
            let _ = provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
        }
    }
}

fn is_enabled(environment: &Environment) -> bool {
    let says = |name: &str, word: &str| {
        environment.get(name).is_some_and(|value| value.eq_ignore_ascii_case(word))
    };
    let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    let named =
        endpoints.iter().any(|name| environment.get(name).is_some_and(|url| !url.is_empty()));
    named && !says("OTEL_SDK_DISABLED", "true") && !says("OTEL_TRACES_EXPORTER", "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_written_and_read_the_same() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(text.parse::<Parent>().unwrap().to_string(), text);
    }

    #[test]
    fn an_unsampled_or_malformed_traceparent_is_rejected() {
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-é-b7ad6b7169203331-01",
        ] {
            assert_eq!(text.parse::<Parent>(), Err(NotSampled), "{text}");
        }
    }

    #[test]
    fn without_a_collector_there_is_no_span() {
        assert_eq!(Span::root("test", Kind::Server), None);
    }

    #[test]
    fn the_standard_variables_turn_traces_on_and_off() {
        let on = Environment::from([("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")]);
        assert!(is_enabled(&on));
        assert!(!is_enabled(&Environment::default()));
        assert!(!is_enabled(&on.clone().with_default("OTEL_SDK_DISABLED", "true")));
        assert!(!is_enabled(&on.with_default("OTEL_TRACES_EXPORTER", "none")));
    }
}
