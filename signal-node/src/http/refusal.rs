//! Why a back end is refused, and how that is described.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use service_kit::http::{self, Problem};
use service_kit::tokens::TokenError;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::log::LogError;

/// When a log that is away may be asked again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Every way to be refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("send Authorization: Bearer and a token")]
    NoToken,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the token was revoked")]
    TokenRevoked,
    #[error("the token has not the right admin")]
    NoRight,
    #[error("the token does not open this room")]
    ForeignRoom,
    #[error("the token does not open every room: its rooms must have *")]
    NotAllRooms,
    #[error(
        "revoked are sub or jti, named by a text of 1 to 1020 bytes, percent-encoded in the path"
    )]
    Revoked,
    #[error("that is not revoked")]
    NotRevoked,
    #[error("no endpoint of webhooks is configured")]
    NoWebhooks,
    #[error("a room is named by 1 to 64 of A-Z a-z 0-9 . _ -")]
    Room,
    #[error("Idempotency-Key is 1 to 128 of A-Z a-z 0-9 . _ -")]
    Key,
    #[error("{0}")]
    Body(String),
    #[error("the body is larger than a frame may be")]
    LargeBody,
    #[error("nobody of that id is in the room")]
    NoPeer,
    #[error("nobody is in the room")]
    NoMembers,
    #[error("the room log does not answer; what was asked may yet take effect")]
    Unavailable,
}

impl Refusal {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Token(TokenError::Expired) => (StatusCode::UNAUTHORIZED, "token_expired"),
            Self::NoToken | Self::TokenRevoked | Self::Token(_) => {
                (StatusCode::UNAUTHORIZED, "unauthorized")
            }
            Self::NoRight | Self::ForeignRoom | Self::NotAllRooms => {
                (StatusCode::FORBIDDEN, "forbidden")
            }
            Self::Room | Self::Key | Self::Revoked | Self::Body(_) => {
                (StatusCode::BAD_REQUEST, "bad_request")
            }
            Self::LargeBody => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::NoPeer => (StatusCode::NOT_FOUND, "peer_not_found"),
            Self::NoMembers => (StatusCode::NOT_FOUND, "room_empty"),
            Self::NoWebhooks => (StatusCode::NOT_FOUND, "no_webhooks"),
            Self::NotRevoked => (StatusCode::NOT_FOUND, "not_revoked"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }

    pub(super) fn problem(&self) -> Problem {
        let (status, code) = self.status();
        let problem = Problem::new(status, code).detail(self.to_string());
        if matches!(self, Self::Unavailable) { problem.retry_after(RETRY_AFTER) } else { problem }
    }
}

impl From<LogError> for Refusal {
    fn from(_: LogError) -> Self {
        Self::Unavailable
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::LargeBody,
            _ => Self::Body(rejection.body_text()),
        }
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::Body(rejection.body_text())
    }
}

/// The schema of errors; utoipa's derive takes a type without parameters.
pub(super) type ProblemSchema = http::ProblemSchema<ProblemCode>;

/// Codes that programs may depend on.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what `Refusal` and the router decide")]
pub(super) enum ProblemCode {
    BadRequest,
    Unauthorized,
    TokenExpired,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    PeerNotFound,
    RoomEmpty,
    NotRevoked,
    NoWebhooks,
    TooLarge,
    RateLimited,
    Unavailable,
}

/// How back ends are refused, whatever they ask.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let told = [
            (400, "The request does not parse."),
            (401, "There is no token, or it opens nothing."),
            (403, "The token has not the right `admin`, or does not open the room, or every room."),
            (
                404,
                "The room has no members (`room_empty`), or not this one (`peer_not_found`); or that is not revoked (`not_revoked`); or there are no webhooks (`no_webhooks`).",
            ),
            (413, "The body is larger than a frame may be."),
            (429, "Too many requests without a valid token came from this address or network."),
            (503, "Redis does not answer."),
        ];
        told.into_iter().map(|(status, what)| (status.to_string(), answer(what))).collect()
    }
}

fn answer(what: &str) -> RefOr<Response> {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let answer = ResponseBuilder::new().description(what);
    RefOr::T(answer.content("application/problem+json", content).build())
}
