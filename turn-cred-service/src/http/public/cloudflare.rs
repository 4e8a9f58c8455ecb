//! The API of Cloudflare's TURN service: `POST /v1/turn/keys/{id}/credentials/…`, for servers.
//!
//! A client of Cloudflare's service works with this one after a change of host and key.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use service_kit::clock;
use service_kit::http::bearer;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::super::request_error::RequestError;
use super::super::{read_body, respond};
use super::error_responses::ErrorResponses;
use super::state::{PublicState, UnresolvedRequest};
use crate::credential::Subject;
use crate::issuer::IssuedCredential;
use crate::metrics::ListenerKind;
use crate::render::cloudflare::{CloudflareIceServer, CloudflareIceServers};

/// Request body; unknown members are ignored.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CloudflareAsk)]
pub(super) struct Body {
    /// Seconds; clamped to the bounds of the service.
    #[schema(example = 86400)]
    ttl: Option<u64>,
    /// The subject: 1 to 128 letters, digits, dots, underscores, tildes or hyphens. If absent, the
    /// `id` of the path.
    #[schema(example = "u1")]
    custom_identifier: Option<String>,
}

/// The `id` of the path: Cloudflare's key id, here only the name of the caller. The API key
/// authenticates.
type KeyId = Result<Path<String>, PathRejection>;

pub(super) fn routes() -> Router<Arc<PublicState>> {
    Router::new()
        .route("/v1/turn/keys/{id}/credentials/generate-ice-servers", post(generate_ice_servers))
        .route("/v1/turn/keys/{id}/credentials/generate", post(generate))
}

/// Issues ICE servers for `RTCPeerConnection` to a server with an API key
#[utoipa::path(
    post,
    path = "/v1/turn/keys/{id}/credentials/generate-ice-servers",
    tag = "cloudflare",
    params(("id" = String, Path, description = "Names the caller.", example = "backend")),
    request_body = Body,
    responses((status = 201, description = "ICE servers.", body = CloudflareIceServers), ErrorResponses),
    security(("api_key" = [])),
)]
pub(super) async fn generate_ice_servers(
    State(state): State<Arc<PublicState>>,
    id: KeyId,
    request: Request,
) -> Response {
    let began = Instant::now();
    let outcome = answer(&state, id, request).await;
    let created =
        outcome.map(|issued| (StatusCode::CREATED, Json(CloudflareIceServers::from(&issued))));
    respond(&state.metrics, ListenerKind::Public, began, created)
}

/// Issues one ICE server to a server with an API key, in Cloudflare's older form
#[utoipa::path(
    post,
    path = "/v1/turn/keys/{id}/credentials/generate",
    tag = "cloudflare",
    params(("id" = String, Path, description = "Names the caller.", example = "backend")),
    request_body = Body,
    responses((status = 201, description = "One ICE server.", body = CloudflareIceServer), ErrorResponses),
    security(("api_key" = [])),
)]
pub(super) async fn generate(
    State(state): State<Arc<PublicState>>,
    id: KeyId,
    request: Request,
) -> Response {
    let began = Instant::now();
    let outcome = answer(&state, id, request).await;
    let created =
        outcome.map(|issued| (StatusCode::CREATED, Json(CloudflareIceServer::from(&issued))));
    respond(&state.metrics, ListenerKind::Public, began, created)
}

async fn answer(
    state: &PublicState,
    id: KeyId,
    request: Request,
) -> Result<IssuedCredential, RequestError> {
    state.check_api_key(state.address(&request), bearer(request.headers()))?;
    let hint = state.hint(&request);
    let Path(id) = id.map_err(|error| RequestError::InvalidPath(error.body_text()))?;
    let Body { ttl, custom_identifier } = read_body(request).await?;
    let subject = Subject::new(&custom_identifier.unwrap_or(id))?;
    state.issue(
        UnresolvedRequest { subject, ttl, token_ends: None, region: None, hint },
        clock::unix_now(),
    )
}
