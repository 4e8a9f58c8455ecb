//! Our own shape: `POST /v1/ice-servers` for holders of a token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use service_kit::clock;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::super::refusal::Refusal;
use super::super::{conclude, read_body};
use super::desk::{PublicDesk, Wish};
use super::problems::Refusals;
use crate::metrics::Side;
use crate::render::native::Answer;

/// What the holder of a token asks for; members not listed are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = Ask)]
pub(super) struct Body {
    /// Seconds; what is out of bounds is brought within them.
    #[schema(example = 300)]
    ttl: Option<u64>,
    /// One of the regions of this service.
    #[schema(example = "eu")]
    region: Option<String>,
}

/// Routes `POST /v1/ice-servers`.
pub(super) fn routes() -> Router<Arc<PublicDesk>> {
    Router::new().route("/v1/ice-servers", post(ice_servers))
}

/// Issues what `RTCPeerConnection` takes to the holder of a token
#[utoipa::path(
    post,
    path = "/v1/ice-servers",
    tag = "native",
    request_body = Body,
    responses((status = 200, description = "ICE servers.", body = Answer), Refusals),
    security(("token" = [])),
)]
pub(super) async fn ice_servers(State(desk): State<Arc<PublicDesk>>, request: Request) -> Response {
    let began = Instant::now();
    let outcome = answer(&desk, request).await;
    conclude(&desk.metrics, Side::Public, began, outcome.map(Json))
}

async fn answer(desk: &PublicDesk, request: Request) -> Result<Answer, Refusal> {
    let subject = desk.holder(desk.token(&request)?).await?;
    let hint = desk.hint(&request);
    let Body { ttl, region } = read_body(request).await?;
    let now = clock::unix_now();
    let issued = desk.issue(Wish { subject, ttl, region, hint }, now)?;
    Ok(Answer::new(&issued, now.as_secs()))
}
