//! Errors in the shape that Matrix clients read.

use service_kit::http::Problem;

use super::super::request_error::RequestError;
use crate::issuer::IssueError;

/// Adds the members that Matrix clients read.
pub(super) fn with_matrix_fields(error: &RequestError, problem: Problem) -> Problem {
    let problem = problem.member("errcode", errcode(error)).member("error", error.to_string());
    let Some(wait) = error.retry_after() else { return problem };
    let ceiling = wait.as_nanos().div_ceil(1_000_000);
    problem.member("retry_after_ms", u64::try_from(ceiling).unwrap_or(u64::MAX))
}

/// Maps an error to a Matrix error code (§ Standard error response).
fn errcode(error: &RequestError) -> &'static str {
    match error {
        RequestError::MissingToken => "M_MISSING_TOKEN",
        RequestError::UnknownToken | RequestError::Token(_) | RequestError::TokenRevoked => {
            "M_UNKNOWN_TOKEN"
        }
        RequestError::SubjectRateLimited { .. }
        | RequestError::AddressRateLimited { .. }
        | RequestError::Issue(IssueError::OverBudget { .. }) => "M_LIMIT_EXCEEDED",
        RequestError::InvalidSubject(_)
        | RequestError::InvalidPath(_)
        | RequestError::UnknownRegion(_)
        | RequestError::UnsupportedService
        | RequestError::InvalidTtl
        | RequestError::InvalidDenial => "M_INVALID_PARAM",
        RequestError::InvalidBody(_) => "M_BAD_JSON",
        RequestError::BodyTooLarge => "M_TOO_LARGE",
        RequestError::MissingApiKey
        | RequestError::UnknownApiKey
        | RequestError::ApiKeysNotConfigured => "M_UNAUTHORIZED",
        RequestError::MissingRight
        | RequestError::SentByBrowser
        | RequestError::ForeignHost
        | RequestError::Issue(IssueError::Denied { .. }) => "M_FORBIDDEN",
        RequestError::BodyTimeout
        | RequestError::NoRedis
        | RequestError::Redis(_)
        | RequestError::Issue(IssueError::KeysUnconfirmed) => "M_UNKNOWN",
    }
}
