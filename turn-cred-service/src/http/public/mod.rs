//! The public listener: JWTs or API keys authenticate the caller, and the route determines the
//! response format. Browsers may call with a JWT.

mod admin;
mod cloudflare;
mod draft;
mod error_responses;
mod matrix;
mod matrix_error;
mod native;
mod openapi;
mod state;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::middleware::{from_fn, map_response};
use axum::response::Response;
use service_kit::http::closing;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::request_spans::trace_root;
use super::{with_limits, without_caching};
use crate::config::AllowedOrigin;

pub use openapi::openapi;
pub(crate) use state::PublicState;

/// Time a browser may cache a preflight response.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// Combines the routes of every API.
pub(crate) fn public_router(state: PublicState, origins: &[AllowedOrigin]) -> Router {
    let shapes = native::routes()
        .merge(draft::routes())
        .merge(matrix::routes())
        .merge(cloudflare::routes())
        .merge(admin::routes())
        .merge(openapi::routes())
        .layer(from_fn(trace_root))
        .layer(map_response(close_refused));
    let router = with_limits(shapes.with_state(Arc::new(state)));
    without_caching(router.layer(cors(origins)), "Origin, Authorization")
}

/// Closes the connection of a caller that is refused: over one that is kept alive, further requests would come as fast as they
/// are refused.
async fn close_refused(response: Response) -> Response {
    match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => closing(response),
        _ => response,
    }
}

/// Allows exactly the listed origins; without any, no cross-origin browser request succeeds.
fn cors(origins: &[AllowedOrigin]) -> CorsLayer {
    let header = |origin: &AllowedOrigin| match origin {
        AllowedOrigin::Any => None,
        AllowedOrigin::Exact(origin) => HeaderValue::from_str(origin.as_str()).ok(),
    };
    let allowed = if origins.contains(&AllowedOrigin::Any) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(header))
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER])
        .max_age(PREFLIGHT_AGE)
}
