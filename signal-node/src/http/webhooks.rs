//! Messages to back ends that could not be delivered, for operators.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest as _, Query, Request, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use service_kit::clock;
use utoipa::{IntoParams, ToSchema};

use super::Public;
use super::refusal::{Refusal, Refusals};
use crate::log::{DeadLetter as StoredLetter, EventStore, Position};

/// How many dead letters one answer holds.
const PAGE: usize = 100;

/// A message that could not be delivered.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// Names it in a replay.
    #[schema(example = "1795366362123-0")]
    id: String,
    /// The `webhook-id` of the message.
    #[schema(example = "evt_9f86d081884c7d65_1795366362123_0")]
    webhook: String,
    /// Which endpoint, as the first twelve digits of the SHA-256 of its URL.
    #[schema(example = "4a7d1ed41447")]
    endpoint: String,
    /// When it was given up.
    #[schema(example = "2026-11-22T16:52:42.123Z")]
    at: String,
    /// What the last attempt came to.
    #[schema(example = "it answered 503 Service Unavailable")]
    error: String,
    /// The message.
    body: serde_json::Value,
}

/// Some of them.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetterList {
    /// Oldest first, a hundred at most.
    dead_letters: Vec<DeadLetter>,
}

/// Which ones.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// The id behind which the list begins.
    #[param(example = "1795366362123-0")]
    after: Option<String>,
}

/// What is to be sent again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    /// The ids of dead letters, a hundred at most.
    #[schema(max_items = 100)]
    ids: Vec<String>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Replayed {
    /// How many are queued again; the others were there no more.
    replayed: usize,
}

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/v1/webhooks/dead-letters", get(dead_letters))
        .route("/v1/webhooks/dead-letters/replay", post(replay))
}

/// Lists the webhooks that could not be delivered
///
/// The last 10,000 are kept, until they are replayed.
#[utoipa::path(
    get,
    path = "/v1/webhooks/dead-letters",
    tag = "webhooks",
    params(Page),
    responses((status = 200, description = "Oldest first.", body = DeadLetterList), Refusals),
    security(("token" = [])),
)]
pub(super) async fn dead_letters(
    State(public): State<Arc<Public>>,
    page: Result<Query<Page>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<DeadLetterList>, Refusal> {
    public.administer_all(&headers).await?;
    let Query(Page { after }) = page?;
    let after = after.map_or(Ok(Position::default()), |id| position(&id))?;
    let found = store(&public)?.dead_letters(after, PAGE).await?;
    let dead_letters = found.into_iter().map(|(at, dead)| DeadLetter::new(at, dead)).collect();
    Ok(Json(DeadLetterList { dead_letters }))
}

/// Sends webhooks again that could not be delivered
///
/// Each is queued for its endpoint, with the id and the body that it had, and is no dead letter any more.
#[utoipa::path(
    post,
    path = "/v1/webhooks/dead-letters/replay",
    tag = "webhooks",
    request_body = Replay,
    responses((status = 200, description = "They are queued.", body = Replayed), Refusals),
    security(("token" = [])),
)]
pub(super) async fn replay(
    State(public): State<Arc<Public>>,
    request: Request,
) -> Result<Json<Replayed>, Refusal> {
    public.administer_all(request.headers()).await?;
    let Json(Replay { ids }) = Json::from_request(request, &()).await?;
    if ids.len() > PAGE {
        return Err(Refusal::Body(format!("ids are {PAGE} at most")));
    }
    let positions = ids.iter().map(|id| position(id)).collect::<Result<Vec<_>, _>>()?;
    let (store, mut replayed) = (store(&public)?, 0);
    for position in positions {
        replayed += usize::from(store.replay(position).await?);
    }
    Ok(Json(Replayed { replayed }))
}

fn store(public: &Public) -> Result<&Arc<dyn EventStore>, Refusal> {
    public.events.as_ref().ok_or(Refusal::NoWebhooks)
}

fn position(id: &str) -> Result<Position, Refusal> {
    id.parse().map_err(|()| Refusal::Body("an id is two numbers and a hyphen between".to_owned()))
}

impl DeadLetter {
    fn new(position: Position, StoredLetter { letter, at, error }: StoredLetter) -> Self {
        Self {
            id: position.to_string(),
            webhook: letter.id,
            endpoint: letter.endpoint.0.to_string(),
            at: clock::rfc3339_millis(at),
            error,
            body: serde_json::from_str(&letter.body).unwrap_or_default(),
        }
    }
}
