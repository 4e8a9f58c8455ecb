//! The two listeners that hand out credentials.

mod cache;
mod internal;
mod public;
mod refusal;
mod traced;

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA, VARY};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use service_kit::http::Problem;
use service_kit::secrets::SecretSource;
use subtle::ConstantTimeEq as _;
use tokio::time::{Instant, timeout};
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::debug;

use self::refusal::Refusal;
use crate::metrics::{Metrics, Side};

pub(crate) use internal::{InternalDesk, internal_router};
pub use public::openapi;
pub(crate) use public::{PublicDesk, public_router};

/// The largest request body, in bytes: a TTL and a region need a hundredth of it.
const MAX_BODY: usize = 4 << 10;
/// How long a request body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Counts how a request ended and writes its answer.
fn conclude(
    metrics: &Metrics,
    side: Side,
    began: Instant,
    outcome: Result<impl IntoResponse, Refusal>,
) -> Response {
    match outcome {
        Ok(answer) => {
            metrics.count_issued(side, began.elapsed());
            answer.into_response()
        }
        Err(refusal) => refuse(metrics, &refusal),
    }
}

/// Counts a refusal and writes its answer.
fn refuse(metrics: &Metrics, refusal: &Refusal) -> Response {
    problem(metrics, refusal).into_response()
}

/// Counts a refusal and words its answer.
fn problem(metrics: &Metrics, refusal: &Refusal) -> Problem {
    metrics.count_refused(refusal.reason());
    debug!(reason = refusal.reason(), "refused a request: {refusal}");
    refusal.into()
}

/// Reads a JSON body; an empty one reads as `{}`.
async fn read_body<T: DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    let body = read_bytes(request).await?;
    let text: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text).map_err(|error| Refusal::Body(error.to_string()))
}

/// Reads a body of any kind.
async fn read_bytes(request: Request) -> Result<Bytes, Refusal> {
    let body = timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await;
    body.map_err(|_| Refusal::SlowBody)?.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::LargeBody,
        _ => Refusal::Body(rejection.body_text()),
    })
}

/// Tells whether `shown` is one of `keys`, and by the time it takes nothing about any of them.
fn is_one_of(keys: &SecretSource, shown: &str) -> bool {
    let shown = shown.as_bytes();
    // Every key is compared in full.
    keys.current().all().fold(0, |found, key| found | key.ct_eq(shown).unwrap_u8()) == 1
}

/// Gives a router what both listeners have: a bounded body and problems for unknown routes.
fn bounded(router: Router) -> Router {
    router
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not_found"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// Keeps every cache away from what a router answers; one cached credential would serve everybody.
fn uncached(router: Router, vary: &'static str) -> Router {
    let always = |name: HeaderName, value| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    router
        .layer(always(CACHE_CONTROL, "no-store"))
        .layer(always(PRAGMA, "no-cache"))
        .layer(always(VARY, vary))
}
