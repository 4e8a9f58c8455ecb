//! Why a request gets no credential, and what it is told.

use std::time::Duration;

use axum::http::StatusCode;
use service_kit::clock;
use service_kit::http::Problem;
use service_kit::tokens::TokenError;

use crate::credential::NotASubject;
use crate::issuer::NotIssued;
use crate::pool::UnknownRegion;

/// Every way to be refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("send Authorization: Bearer and a token")]
    NoToken,
    #[error("the token is not one of those accepted here")]
    WrongToken,
    #[error(transparent)]
    Token(#[from] TokenError),
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
    #[error(transparent)]
    Region(#[from] UnknownRegion),
    #[error(transparent)]
    Subject(#[from] NotASubject),
    #[error(transparent)]
    NotIssued(#[from] NotIssued),
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
            Self::SubjectTooOften { .. } => "rate_subject",
            Self::AddressTooOften { .. } => "rate_ip",
            Self::Body(_) | Self::LargeBody | Self::SlowBody => "body",
            Self::Region(_) => "region",
            Self::Subject(_) => "subject",
            Self::NotIssued(NotIssued::KeysUnconfirmed) => "keys",
            Self::NotIssued(NotIssued::Denied { .. }) => "denied",
            Self::NotIssued(NotIssued::OverBudget { .. }) => "budget",
            Self::FromBrowser => "origin",
            Self::ForeignHost => "host",
        }
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Token(TokenError::Expired) => (StatusCode::UNAUTHORIZED, "token_expired"),
            Self::NoToken | Self::WrongToken | Self::Token(_) => {
                (StatusCode::UNAUTHORIZED, "unauthorized")
            }
            Self::SubjectTooOften { .. } | Self::AddressTooOften { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limited")
            }
            Self::Body(_) | Self::Region(_) | Self::Subject(_) => {
                (StatusCode::BAD_REQUEST, "bad_request")
            }
            Self::LargeBody => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::NotIssued(NotIssued::KeysUnconfirmed) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            Self::NotIssued(NotIssued::Denied { .. }) => (StatusCode::FORBIDDEN, "denied"),
            Self::NotIssued(NotIssued::OverBudget { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "over_budget")
            }
            Self::FromBrowser | Self::ForeignHost => (StatusCode::FORBIDDEN, "forbidden"),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = refusal.status();
        let problem = Self::new(status, code).detail(refusal.to_string());
        match refusal {
            Refusal::SubjectTooOften { wait } | Refusal::AddressTooOften { wait } => {
                problem.retry_after(wait)
            }
            Refusal::NotIssued(NotIssued::OverBudget { until }) => {
                problem.retry_after(Duration::from_secs(until).saturating_sub(clock::unix_now()))
            }
            _ => problem,
        }
    }
}
