//! Why a request gets no credential, and what it is told.

use std::time::Duration;

use axum::http::StatusCode;
use service_kit::clock;
use service_kit::http::Problem;
use service_kit::tokens::TokenError;

use crate::credential::NotASubject;
use crate::issuer::NotIssued;
use crate::pool::UnknownRegion;
use crate::relay_db::DbError;

/// Every way to be refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("send Authorization: Bearer and a token")]
    NoToken,
    #[error("the token is not one of those accepted here")]
    WrongToken,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("send one of the API keys")]
    NoApiKey,
    #[error("the API key is not one of those accepted here")]
    WrongApiKey,
    #[error("no API keys are set here: an operator sets TURN_CRED_API_KEYS")]
    ApiKeysUnset,
    #[error("this subject asks too often")]
    SubjectTooOften { wait: Duration },
    #[error("this address asks too often")]
    AddressTooOften { wait: Duration },
    #[error("the body does not parse: {0}")]
    Body(String),
    #[error("the body is larger than 4 KiB")]
    LargeBody,
    #[error("the body took too long to arrive")]
    SlowBody,
    #[error("only service=turn is served")]
    Service,
    #[error("ttl is a number of seconds")]
    Ttl,
    #[error(transparent)]
    Region(#[from] UnknownRegion),
    #[error(transparent)]
    Subject(#[from] NotASubject),
    #[error(transparent)]
    NotIssued(#[from] NotIssued),
    #[error("the token has not the right admin")]
    NoRight,
    #[error("usage and denials need TURN_CRED_REDIS_URL, where every credential service sees them")]
    NoDb,
    #[error("the relays' Redis does not answer")]
    Db(#[from] DbError),
    #[error("a browser sent this, and this listener is not for browsers")]
    FromBrowser,
    #[error("the Host header names none of our own names")]
    ForeignHost,
}

impl Refusal {
    /// Names the refusal for the metric, from a closed set.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Token(TokenError::Expired) => "token_expired",
            Self::Token(_) | Self::WrongToken => "token",
            Self::NoApiKey => "no_api_key",
            Self::WrongApiKey => "api_key",
            Self::ApiKeysUnset => "api_keys_unset",
            Self::SubjectTooOften { .. } => "rate_subject",
            Self::AddressTooOften { .. } => "rate_ip",
            Self::Body(_) | Self::LargeBody | Self::SlowBody => "body",
            Self::Service => "service",
            Self::Ttl => "ttl",
            Self::Region(_) => "region",
            Self::Subject(_) => "subject",
            Self::NotIssued(NotIssued::KeysUnconfirmed) => "keys",
            Self::NotIssued(NotIssued::Denied { .. }) => "denied",
            Self::NotIssued(NotIssued::OverBudget { .. }) => "budget",
            Self::NoRight => "right",
            Self::NoDb | Self::Db(_) => "redis",
            Self::FromBrowser => "origin",
            Self::ForeignHost => "host",
        }
    }

    /// Tells how long to wait before asking again, where that is all there is to do.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::SubjectTooOften { wait } | Self::AddressTooOften { wait } => Some(*wait),
            Self::NotIssued(NotIssued::OverBudget { until }) => {
                Some(Duration::from_secs(*until).saturating_sub(clock::unix_now()))
            }
            _ => None,
        }
    }

    /// Maps it to its status, and to a code that programs may depend on.
    pub(super) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Token(TokenError::Expired) => (StatusCode::UNAUTHORIZED, "token_expired"),
            Self::NoToken
            | Self::WrongToken
            | Self::Token(_)
            | Self::NoApiKey
            | Self::WrongApiKey
            | Self::ApiKeysUnset => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::SubjectTooOften { .. } | Self::AddressTooOften { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limited")
            }
            Self::Body(_) | Self::Service | Self::Ttl | Self::Region(_) | Self::Subject(_) => {
                (StatusCode::BAD_REQUEST, "bad_request")
            }
            Self::LargeBody => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::NotIssued(NotIssued::KeysUnconfirmed) | Self::NoDb | Self::Db(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            Self::NotIssued(NotIssued::Denied { .. }) => (StatusCode::FORBIDDEN, "denied"),
            Self::NotIssued(NotIssued::OverBudget { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "over_budget")
            }
            Self::NoRight | Self::FromBrowser | Self::ForeignHost => {
                (StatusCode::FORBIDDEN, "forbidden")
            }
        }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let (status, code) = refusal.status();
        let problem = Self::new(status, code).detail(refusal.to_string());
        match refusal.wait() {
            Some(wait) => problem.retry_after(wait),
            None => problem,
        }
    }
}
