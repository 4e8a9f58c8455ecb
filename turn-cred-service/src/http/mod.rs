//! The public and the internal listener.

mod credential_cache;
mod internal;
mod public;
mod request_error;
mod request_spans;
mod starting;

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

use self::request_error::RequestError;
use crate::metrics::{ListenerKind, Metrics};

pub(crate) use internal::{InternalState, internal_router};
pub use public::openapi;
pub(crate) use public::{PublicState, public_router};
pub(crate) use starting::starting_router;

/// A TTL and a region need a hundredth of it.
const MAX_BODY_BYTES: usize = 4 << 10;
/// Bound on the arrival of a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Records the outcome of a request and builds the response.
fn respond(
    metrics: &Metrics,
    listener: ListenerKind,
    began: Instant,
    outcome: Result<impl IntoResponse, RequestError>,
) -> Response {
    match outcome {
        Ok(answer) => {
            metrics.count_issued(listener, began.elapsed());
            answer.into_response()
        }
        Err(error) => error_response(metrics, &error),
    }
}

/// Counts an error and builds its response.
fn error_response(metrics: &Metrics, error: &RequestError) -> Response {
    count_refusal(metrics, error).into_response()
}

/// Counts an error and builds its problem document.
fn count_refusal(metrics: &Metrics, error: &RequestError) -> Problem {
    metrics.count_refused(error.reason());
    debug!(reason = error.reason(), "rejected a request: {error}");
    error.into()
}

/// Parses a JSON body; an empty one is `{}`.
async fn read_body<T: DeserializeOwned>(request: Request) -> Result<T, RequestError> {
    let body = read_bytes(request).await?;
    let text: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text).map_err(|error| RequestError::InvalidBody(error.to_string()))
}

/// Reads a body within [`BODY_TIMEOUT`].
async fn read_bytes(request: Request) -> Result<Bytes, RequestError> {
    let body = timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await;
    body.map_err(|_| RequestError::BodyTimeout)?.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => RequestError::BodyTooLarge,
        _ => RequestError::InvalidBody(rejection.body_text()),
    })
}

/// Returns whether `presented` is one of `keys`, in constant time.
fn matches_any_key(keys: &SecretSource, presented: &str) -> bool {
    let presented = presented.as_bytes();
    // No early return: the time must not depend on which key matches.
    keys.current().all().fold(0, |found, key| found | key.ct_eq(presented).unwrap_u8()) == 1
}

/// Adds the body limit, and problem documents for unknown routes and methods.
fn with_limits(router: Router) -> Router {
    router
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not_found"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// Forbids caching: a cached credential would be handed to every client of the cache.
fn without_caching(router: Router, vary: &'static str) -> Router {
    let always = |name: HeaderName, value| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    router
        .layer(always(CACHE_CONTROL, "no-store"))
        .layer(always(PRAGMA, "no-cache"))
        .layer(always(VARY, vary))
}
