//! The admin listener: liveness, readiness, startup, metrics.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tracing::error;

use super::Problem;

/// State reported to the probes of an orchestrator; clones share it.
///
/// Liveness does not depend on it: a process that answers is alive, and a restart would not repair
/// a dependency that is down.
#[derive(Clone, Debug)]
pub struct Health(Arc<RwLock<Phase>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    NotReady(Cow<'static, str>),
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Phase::Starting)))
    }
}

impl Health {
    /// Starts in the phase `Starting`: alive, but neither started nor ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports the service as ready.
    pub fn ready(&self) {
        self.set(Phase::Ready);
    }

    /// Reports the service as not ready, with a reason such as `draining`.
    pub fn not_ready(&self, reason: impl Into<Cow<'static, str>>) {
        self.set(Phase::NotReady(reason.into()));
    }

    fn set(&self, phase: Phase) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> Phase {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Routes `/livez`, `/readyz`, `/startupz` and `/metrics`.
pub fn admin_router(registry: Registry, health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/startupz", get(started))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(metrics)).with_state(registry))
}

async fn ready(State(health): State<Health>) -> Response {
    match health.phase() {
        Phase::Ready => "ready\n".into_response(),
        Phase::Starting => unavailable("starting".into()),
        Phase::NotReady(reason) => unavailable(reason),
    }
}

async fn started(State(health): State<Health>) -> Response {
    match health.phase() {
        Phase::Starting => unavailable("starting".into()),
        Phase::Ready | Phase::NotReady(_) => "started\n".into_response(),
    }
}

fn unavailable(reason: Cow<'static, str>) -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready").detail(reason).into_response()
}

async fn metrics(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(failed) => {
            error!("cannot write the metrics: {failed}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal").into_response()
        }
    }
}
