//! The shape of the Matrix client-server API (§ VoIP): `GET …/voip/turnServer` with a token.
//!
//! A proxy in front of a homeserver sends this one path here. Matrix clients read `errcode` and
//! `error`, so errors carry them beside what all errors carry.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use service_kit::clock;
use service_kit::http::Problem;
use tokio::time::Instant;

use super::super::refusal::Refusal;
use super::super::{conclude, problem};
use super::desk::{PublicDesk, Wish};
use super::problems::MatrixRefusals;
use crate::issuer::NotIssued;
use crate::metrics::Side;
use crate::render::draft::Answer;

/// Routes `turnServer` of the version that clients ask for now, and of the one before.
pub(super) fn routes() -> Router<Arc<PublicDesk>> {
    Router::new()
        .route("/_matrix/client/v3/voip/turnServer", get(turn_server))
        .route("/_matrix/client/r0/voip/turnServer", get(turn_server))
}

/// Issues a credential to a Matrix client that holds a token
#[utoipa::path(
    get,
    path = "/_matrix/client/v3/voip/turnServer",
    tag = "matrix",
    responses((status = 200, description = "A credential.", body = Answer), MatrixRefusals),
    security(("token" = [])),
)]
pub(super) async fn turn_server(State(desk): State<Arc<PublicDesk>>, request: Request) -> Response {
    let began = Instant::now();
    match answer(&desk, request).await {
        Ok(answer) => conclude(&desk.metrics, Side::Public, began, Ok(Json(answer))),
        Err(refusal) => worded(&refusal, problem(&desk.metrics, &refusal)).into_response(),
    }
}

async fn answer(desk: &PublicDesk, request: Request) -> Result<Answer, Refusal> {
    let subject = desk.holder(desk.token(&request)?).await?;
    let (now, hint) = (clock::unix_now(), desk.hint(&request));
    let issued = desk.issue(Wish { subject, ttl: None, region: None, hint }, now)?;
    Ok(Answer::new(&issued, now.as_secs()))
}

/// Adds what a Matrix client reads of an error.
pub(super) fn worded(refusal: &Refusal, problem: Problem) -> Problem {
    let problem = problem.member("errcode", errcode(refusal)).member("error", refusal.to_string());
    let Some(wait) = refusal.wait() else { return problem };
    let ceiling = wait.as_nanos().div_ceil(1_000_000);
    problem.member("retry_after_ms", u64::try_from(ceiling).unwrap_or(u64::MAX))
}

/// Names a refusal as the Matrix client-server API does (§ Standard error response).
fn errcode(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoToken => "M_MISSING_TOKEN",
        Refusal::WrongToken | Refusal::Token(_) => "M_UNKNOWN_TOKEN",
        Refusal::SubjectTooOften { .. }
        | Refusal::AddressTooOften { .. }
        | Refusal::NotIssued(NotIssued::OverBudget { .. }) => "M_LIMIT_EXCEEDED",
        Refusal::Subject(_) | Refusal::Region(_) | Refusal::Service | Refusal::Ttl => {
            "M_INVALID_PARAM"
        }
        Refusal::Body(_) => "M_BAD_JSON",
        Refusal::LargeBody => "M_TOO_LARGE",
        Refusal::NoApiKey | Refusal::WrongApiKey | Refusal::ApiKeysUnset => "M_UNAUTHORIZED",
        Refusal::NoRight
        | Refusal::FromBrowser
        | Refusal::ForeignHost
        | Refusal::NotIssued(NotIssued::Denied { .. }) => "M_FORBIDDEN",
        Refusal::SlowBody
        | Refusal::NoDb
        | Refusal::Db(_)
        | Refusal::NotIssued(NotIssued::KeysUnconfirmed) => "M_UNKNOWN",
    }
}
