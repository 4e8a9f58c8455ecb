//! This project's own API: `POST /v1/ice-servers` with a token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use service_kit::clock;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::super::request_error::RequestError;
use super::super::{read_body, respond};
use super::error_responses::ErrorResponses;
use super::state::{PublicState, UnresolvedRequest};
use crate::metrics::ListenerKind;
use crate::render::native::NativeResponse;

/// Request body; unknown members are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = Ask)]
pub(super) struct Body {
    /// Seconds; clamped to the bounds of the service.
    #[schema(example = 300)]
    ttl: Option<u64>,
    /// One of the regions of this service.
    #[schema(example = "eu")]
    region: Option<String>,
}

pub(super) fn routes() -> Router<Arc<PublicState>> {
    Router::new().route("/v1/ice-servers", post(ice_servers))
}

/// Issues ICE servers for `RTCPeerConnection` to the holder of a token
#[utoipa::path(
    post,
    path = "/v1/ice-servers",
    tag = "native",
    request_body = Body,
    responses((status = 200, description = "ICE servers.", body = NativeResponse), ErrorResponses),
    security(("token" = [])),
)]
pub(super) async fn ice_servers(
    State(state): State<Arc<PublicState>>,
    request: Request,
) -> Response {
    let began = Instant::now();
    let outcome = answer(&state, request).await;
    respond(&state.metrics, ListenerKind::Public, began, outcome.map(Json))
}

async fn answer(state: &PublicState, request: Request) -> Result<NativeResponse, RequestError> {
    let (subject, end) = state.subject_of(state.token(&request)?).await?;
    let hint = state.hint(&request);
    let Body { ttl, region } = read_body(request).await?;
    let now = clock::unix_now();
    let issued = state
        .issue(UnresolvedRequest { subject, ttl, token_ends: Some(end), region, hint }, now)?;
    Ok(NativeResponse::new(&issued, now.as_secs()))
}
