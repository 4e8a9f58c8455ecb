//! The Matrix client-server API (§ VoIP): `GET …/voip/turnServer` with a token.
//!
//! A proxy in front of a homeserver routes this path here. Matrix clients read `errcode` and
//! `error`, so errors contain them besides the members of a problem document.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use service_kit::clock;
use tokio::time::Instant;

use super::super::request_error::RequestError;
use super::super::{count_refusal, respond};
use super::error_responses::MatrixErrorResponses;
use super::matrix_error::with_matrix_fields;
use super::state::{PublicState, UnresolvedRequest};
use crate::metrics::ListenerKind;
use crate::render::draft::DraftResponse;

/// Routes the current `v3` path and the older `r0`.
pub(super) fn routes() -> Router<Arc<PublicState>> {
    Router::new()
        .route("/_matrix/client/v3/voip/turnServer", get(turn_server))
        .route("/_matrix/client/r0/voip/turnServer", get(turn_server))
}

/// Issues a credential to a Matrix client with a token
#[utoipa::path(
    get,
    path = "/_matrix/client/v3/voip/turnServer",
    tag = "matrix",
    responses((status = 200, description = "A credential.", body = DraftResponse), MatrixErrorResponses),
    security(("token" = [])),
)]
pub(super) async fn turn_server(
    State(state): State<Arc<PublicState>>,
    request: Request,
) -> Response {
    let began = Instant::now();
    match answer(&state, request).await {
        Ok(answer) => respond(&state.metrics, ListenerKind::Public, began, Ok(Json(answer))),
        Err(error) => {
            with_matrix_fields(&error, count_refusal(&state.metrics, &error)).into_response()
        }
    }
}

async fn answer(state: &PublicState, request: Request) -> Result<DraftResponse, RequestError> {
    let (subject, end) = state.subject_of(state.token(&request)?).await?;
    let (now, hint) = (clock::unix_now(), state.hint(&request));
    let issued = state.issue(
        UnresolvedRequest { subject, ttl: None, token_ends: Some(end), region: None, hint },
        now,
    )?;
    Ok(DraftResponse::new(&issued, now.as_secs()))
}
