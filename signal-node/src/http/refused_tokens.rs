//! Bounds what requests with refused tokens cost: a connection that is kept alive would show one after the other as fast
//! as they are refused.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use service_kit::http::closing;
use tokio::time::Instant;

use super::Public;
use super::upgrade::unverified_problem;

/// Has these routes share the bounds of upgrades without a valid token ([`super::UnverifiedLimiter`]).
pub(super) fn bounded(routes: Router<Arc<Public>>, public: &Arc<Public>) -> Router<Arc<Public>> {
    routes.layer(from_fn_with_state(public.clone(), count_refused))
}

/// Closes the connection with each refusal, and verifies no token of an address from which too many were refused.
async fn count_refused(
    State(public): State<Arc<Public>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let address = public.proxies.client_address(peer, request.headers());
    let (limiter, now) = (&public.unverified_limiter, Instant::now());
    if let Err(wait) = limiter.may_verify(address, now) {
        return closing(unverified_problem(wait).into_response());
    }
    let response = next.run(request).await;
    if response.status() != StatusCode::UNAUTHORIZED {
        return response;
    }
    limiter.token_refused(address, now);
    closing(match limiter.attempt(address, now) {
        Ok(()) => response,
        Err(wait) => unverified_problem(wait).into_response(),
    })
}
