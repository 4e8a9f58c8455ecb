//! What back ends and the console ask about the past of a room, or of a user.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use signal_protocol::{RoomId, Subject};
use utoipa::ToSchema;

use super::Public;
use super::refusal::{Refusal, Refusals};
use crate::timeline::{Entered, Finding, Line, findings};

/// What happened in a room, and what it means.
#[derive(Serialize, ToSchema)]
pub(super) struct Timeline {
    #[schema(value_type = String, example = "demo")]
    room: RoomId,
    /// What happened, oldest first.
    events: Vec<Line>,
    /// Why, by the rules of docs/WHEN-A-CALL-FAILS.md.
    findings: Vec<Finding>,
}

/// The rooms that a user entered.
#[derive(Serialize, ToSchema)]
pub(super) struct UserTimeline {
    #[schema(example = "ana")]
    user: String,
    /// Oldest first; only rooms that the token opens.
    entered: Vec<Entered>,
}

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/v1/rooms/{room}/timeline", get(of_room))
        .route("/v1/users/{user}/timeline", get(of_user))
}

/// Tells what happened in a room, and why its calls failed
///
/// Kept for `SIGNAL_NODE_TIMELINE_AGE`, a thousand lines at most. It holds no addresses and nothing that members said.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}/timeline",
    tag = "timelines",
    params(("room" = String, Path, description = "1–64 of `A–Z a–z 0–9 . _ -`")),
    responses((status = 200, description = "The timeline; empty if nothing is kept.", body = Timeline), Refusals),
    security(("token" = [])),
)]
pub(super) async fn of_room(
    State(public): State<Arc<Public>>,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Timeline>, Refusal> {
    let room = public.administer(&headers, &room).await?;
    let events = public.sessions.rooms.timelines().room(&room).await?;
    let findings = findings(&events);
    Ok(Json(Timeline { room, events, findings }))
}

/// Lists the rooms that a user entered of late
///
/// Each has a timeline of its own. The user is the `sub` of a token; of anonymous members nothing is listed.
#[utoipa::path(
    get,
    path = "/v1/users/{user}/timeline",
    tag = "timelines",
    params(("user" = String, Path, description = "The `sub` of a token, percent-encoded")),
    responses((status = 200, description = "The last 200 at most; none if nothing is kept.", body = UserTimeline), Refusals),
    security(("token" = [])),
)]
pub(super) async fn of_user(
    State(public): State<Arc<Public>>,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Result<Json<UserTimeline>, Refusal> {
    let claims = public.administrator(&headers).await?;
    let subject = Subject::new(&user).map_err(|error| Refusal::Body(error.to_string()))?;
    let mut entered = public.sessions.rooms.timelines().subject(&subject).await?;
    entered.retain(|entered| claims.may_enter(entered.room.as_str()));
    Ok(Json(UserTimeline { user, entered }))
}
