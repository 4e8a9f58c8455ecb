//! Errors of both listeners: metric label, status, problem code.

use std::time::Duration;

use axum::http::StatusCode;
use service_kit::clock;
use service_kit::http::Problem;
use service_kit::tokens::TokenError;
use signal_protocol::IdError;

use crate::issuer::IssueError;
use crate::pool::UnknownRegion;
use crate::relay_db::DbError;
use crate::revocation::LONGEST_DENIAL;

/// Every reason to reject a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("send Authorization: Bearer and a token")]
    MissingToken,
    #[error("the token is not accepted")]
    UnknownToken,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the token was revoked")]
    TokenRevoked,
    #[error("a denial is 1 to {LONGEST_DENIAL} seconds, a leap year at most")]
    InvalidDenial,
    #[error("send one of the API keys")]
    MissingApiKey,
    #[error("the API key is not accepted")]
    UnknownApiKey,
    #[error("no API keys are configured: set TURN_CRED_API_KEYS")]
    ApiKeysNotConfigured,
    #[error("too many requests for this subject")]
    SubjectRateLimited { wait: Duration },
    #[error("too many requests from this address")]
    AddressRateLimited { wait: Duration },
    #[error("the body does not parse: {0}")]
    InvalidBody(String),
    #[error("the body is larger than 4 KiB")]
    BodyTooLarge,
    #[error("the body took too long to arrive")]
    BodyTimeout,
    #[error("the parameter service must be turn")]
    UnsupportedService,
    #[error("ttl must be a number of seconds")]
    InvalidTtl,
    #[error(transparent)]
    UnknownRegion(#[from] UnknownRegion),
    #[error(transparent)]
    InvalidSubject(#[from] IdError),
    #[error("the path does not parse: {0}")]
    InvalidPath(String),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("the token does not grant the right admin")]
    MissingRight,
    #[error("usage and denials need TURN_CRED_REDIS_URL")]
    NoRedis,
    #[error("the relays' Redis does not answer")]
    Redis(#[from] DbError),
    #[error("the request has an Origin header: browsers may not use this listener")]
    SentByBrowser,
    #[error("the Host header must be localhost")]
    ForeignHost,
}

impl RequestError {
    /// Label of the error in `turncred_refused_total`.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::MissingToken => "no_token",
            Self::Token(TokenError::Expired) => "token_expired",
            Self::Token(_) | Self::UnknownToken => "token",
            Self::TokenRevoked => "token_revoked",
            Self::InvalidDenial => "denial",
            Self::MissingApiKey => "no_api_key",
            Self::UnknownApiKey => "api_key",
            Self::ApiKeysNotConfigured => "api_keys_unset",
            Self::SubjectRateLimited { .. } => "rate_subject",
            Self::AddressRateLimited { .. } => "rate_ip",
            Self::InvalidBody(_) | Self::BodyTooLarge | Self::BodyTimeout => "body",
            Self::UnsupportedService => "service",
            Self::InvalidTtl => "ttl",
            Self::UnknownRegion(_) => "region",
            Self::InvalidSubject(_) | Self::InvalidPath(_) => "subject",
            Self::Issue(IssueError::KeysUnconfirmed) => "keys",
            Self::Issue(IssueError::Denied { .. }) => "denied",
            Self::Issue(IssueError::OverBudget { .. }) => "budget",
            Self::MissingRight => "right",
            Self::NoRedis | Self::Redis(_) => "redis",
            Self::SentByBrowser => "origin",
            Self::ForeignHost => "host",
        }
    }

    /// Time after which a repetition may succeed, for errors that pass by themselves.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::SubjectRateLimited { wait } | Self::AddressRateLimited { wait } => Some(*wait),
            Self::Issue(IssueError::OverBudget { until }) => {
                Some(Duration::from_secs(*until).saturating_sub(clock::unix_now()))
            }
            Self::MissingToken
            | Self::UnknownToken
            | Self::Token(_)
            | Self::TokenRevoked
            | Self::InvalidDenial
            | Self::MissingApiKey
            | Self::UnknownApiKey
            | Self::ApiKeysNotConfigured
            | Self::InvalidBody(_)
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::UnsupportedService
            | Self::InvalidTtl
            | Self::UnknownRegion(_)
            | Self::InvalidSubject(_)
            | Self::InvalidPath(_)
            | Self::Issue(_)
            | Self::MissingRight
            | Self::NoRedis
            | Self::Redis(_)
            | Self::SentByBrowser
            | Self::ForeignHost => None,
        }
    }

    /// The HTTP status and the `code` of the problem document, which clients may depend on.
    pub(super) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Token(TokenError::Expired) => (StatusCode::UNAUTHORIZED, "token_expired"),
            Self::MissingToken
            | Self::UnknownToken
            | Self::Token(_)
            | Self::TokenRevoked
            | Self::MissingApiKey
            | Self::UnknownApiKey
            | Self::ApiKeysNotConfigured => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::SubjectRateLimited { .. } | Self::AddressRateLimited { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limited")
            }
            Self::InvalidBody(_)
            | Self::UnsupportedService
            | Self::InvalidTtl
            | Self::InvalidDenial
            | Self::UnknownRegion(_)
            | Self::InvalidPath(_)
            | Self::InvalidSubject(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::Issue(IssueError::KeysUnconfirmed) | Self::NoRedis | Self::Redis(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            Self::Issue(IssueError::Denied { .. }) => (StatusCode::FORBIDDEN, "denied"),
            Self::Issue(IssueError::OverBudget { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "over_budget")
            }
            Self::MissingRight | Self::SentByBrowser | Self::ForeignHost => {
                (StatusCode::FORBIDDEN, "forbidden")
            }
        }
    }
}

impl From<&RequestError> for Problem {
    fn from(error: &RequestError) -> Self {
        let (status, code) = error.status();
        let problem = Self::new(status, code).detail(error.to_string());
        match error.retry_after() {
            Some(wait) => problem.retry_after(wait),
            None => problem,
        }
    }
}
