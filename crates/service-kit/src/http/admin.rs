//! The admin listener: liveness, readiness, startup, metrics.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State as Shared;
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
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// What keeps the service from its work for now, whatever its phase.
    trouble: Option<String>,
    /// What a part of the service lacks while the rest of it works.
    degraded: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Ready,
    NotReady(Cow<'static, str>),
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

    /// Reports the service as not ready until this is called with `None`, with a reason.
    pub fn trouble(&self, reason: Option<String>) {
        self.state().trouble = reason;
    }

    /// Tells at `/readyz` what a part of the service lacks, until this is called with `None`; it stays ready.
    pub fn degraded(&self, reason: Option<String>) {
        self.state().degraded = reason;
    }

    fn set(&self, phase: Phase) {
        self.state().phase = phase;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> Phase {
        let state = self.state();
        match (&state.phase, &state.trouble) {
            (Phase::Ready, Some(reason)) => Phase::NotReady(reason.clone().into()),
            (phase, _) => phase.clone(),
        }
    }
}

/// The answer of a service that is ready: `ready`, and on a second line what a part of it lacks.
fn ready_text(health: &Health) -> String {
    let degraded = health.state().degraded.clone();
    degraded.map_or_else(|| "ready\n".to_owned(), |reason| format!("ready\ndegraded: {reason}\n"))
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

async fn ready(Shared(health): Shared<Health>) -> Response {
    match health.phase() {
        Phase::Ready => ready_text(&health).into_response(),
        Phase::Starting => unavailable("starting".into()),
        Phase::NotReady(reason) => unavailable(reason),
    }
}

async fn started(Shared(health): Shared<Health>) -> Response {
    match health.phase() {
        Phase::Starting => unavailable("starting".into()),
        Phase::Ready | Phase::NotReady(_) => "started\n".into_response(),
    }
}

fn unavailable(reason: Cow<'static, str>) -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready").detail(reason).into_response()
}

async fn metrics(Shared(registry): Shared<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(failed) => {
            error!("cannot write the metrics: {failed}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal").into_response()
        }
    }
}
