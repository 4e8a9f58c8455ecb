//! The internal listener, where the node names the subject. No browser may reach it.
//!
//! A request with `Origin` is rejected, and over TCP a bearer token is required, which no page has.
//! There `Host` is not checked, because a node may use the name of a Kubernetes Service or of a
//! proxy. A socket file needs no token, so `Host` must be `localhost`: otherwise DNS rebinding
//! would reach a socket that a developer forwarded to a TCP port.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use service_kit::clock;
use service_kit::http::bearer;
use service_kit::secrets::SecretSource;
use signal_protocol::IceReason;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::credential_cache::CredentialCache;
use super::request_error::RequestError;
use super::request_spans::trace_with_parent;
use super::{error_response, matches_any_key, read_body, respond, with_limits, without_caching};
use crate::change_notifier::Change;
use crate::credential::{CredentialOwner, Subject};
use crate::issuer::{CredentialRequest, IssueError, Issuer};
use crate::metrics::{ListenerKind, Metrics};
use crate::render::native::NativeResponse;
use crate::usage::RoomRecorder;

/// State of the internal listener.
#[derive(Debug)]
pub(crate) struct InternalState {
    issuer: Issuer,
    token: Option<SecretSource>,
    cache: CredentialCache,
    rooms: Option<RoomRecorder>,
    /// Cancelled on shutdown; ends the requests that wait for changes.
    end: CancellationToken,
    metrics: Metrics,
}

/// Request body; unknown fields are ignored.
#[derive(Deserialize)]
struct RequestBody {
    subject: String,
    /// The network of an anonymous client, which shares a pseudonym with all others there. Its `subject` is for
    /// services that do not know this field, and not used.
    network: Option<IpAddr>,
    /// Selects the relay, so that both ends of a call get the same one.
    room: Option<String>,
    /// Seconds.
    ttl: Option<u64>,
    /// When the token of the subject ends, in Unix seconds.
    until: Option<u64>,
    region: Option<String>,
    /// Region or country that a proxy reported to the node.
    hint: Option<String>,
}

#[derive(Deserialize)]
struct ChangesQuery {
    /// Number of the last change known to the node; absent in its first request.
    after: Option<u64>,
}

#[derive(Serialize)]
struct ChangeResponse {
    number: u64,
    reason: IceReason,
}

/// Longest wait of a changes request; below the idle timeout of common proxies.
const CHANGES_TIMEOUT: Duration = Duration::from_secs(25);

/// Routes `POST /internal/v1/ice-servers` and `GET /internal/v1/changes`.
pub(crate) fn internal_router(state: InternalState) -> Router {
    let router = Router::new()
        .route("/internal/v1/ice-servers", post(ice_servers))
        .route("/internal/v1/changes", get(changes))
        .layer(from_fn(trace_with_parent));
    without_caching(with_limits(router.with_state(Arc::new(state))), "Authorization")
}

async fn ice_servers(State(state): State<Arc<InternalState>>, request: Request) -> Response {
    let began = Instant::now();
    let outcome = state.issue_ice_servers(request).await;
    respond(&state.metrics, ListenerKind::Internal, began, outcome.map(Json))
}

/// Returns the newest change: at once if the caller does not know it, else at the next change or
/// after [`CHANGES_TIMEOUT`].
async fn changes(
    State(state): State<Arc<InternalState>>,
    Query(ChangesQuery { after }): Query<ChangesQuery>,
    request: Request,
) -> Response {
    if let Err(error) = state.check_caller(&request) {
        return error_response(&state.metrics, &error);
    }
    let mut changes = state.issuer.changes().subscribe();
    let is_newer = |change: &Change| after != Some(change.number);
    let next_change = timeout(CHANGES_TIMEOUT, changes.wait_for(is_newer));
    // Timeout and shutdown both answer with the change the caller knows already.
    let _ = state.end.run_until_cancelled(next_change).await;
    let Change { number, reason } = *changes.borrow();
    Json(ChangeResponse { number, reason }).into_response()
}

impl InternalState {
    /// Creates the state; the settings guarantee a token for TCP.
    pub(crate) fn new(
        issuer: Issuer,
        token: Option<SecretSource>,
        rooms: Option<RoomRecorder>,
        end: CancellationToken,
        metrics: Metrics,
    ) -> Self {
        Self { issuer, token, cache: CredentialCache::default(), rooms, end, metrics }
    }

    async fn issue_ice_servers(&self, request: Request) -> Result<NativeResponse, RequestError> {
        self.check_caller(&request)?;
        let RequestBody { subject, network, room, ttl, until, region, hint } =
            read_body(request).await?;
        let (now, ttl) = (clock::unix_now(), ttl.map(Duration::from_secs));
        let credential_request = CredentialRequest {
            owner: match network {
                Some(network) => CredentialOwner::Network(network),
                None => CredentialOwner::Subject(Subject::new(&subject)?),
            },
            room,
            region: self.issuer.pools().region(region.as_deref(), hint.as_deref())?,
            ttl: self.issuer.clamp_ttl_to_token(ttl, until, now),
        };
        let issue = |credential_request: &CredentialRequest| {
            let issued = self.issuer.issue(credential_request, now)?;
            if let (Some(rooms), Some(room)) = (&self.rooms, &credential_request.room) {
                rooms.record(issued.credential.pseudonym(), room);
            }
            Ok::<_, IssueError>(issued)
        };
        let issued = self.cache.get_or_issue(
            credential_request,
            self.issuer.snapshot(),
            now.as_secs(),
            issue,
        )?;
        Ok(NativeResponse::new(&issued, now.as_secs()))
    }

    fn check_caller(&self, request: &Request) -> Result<(), RequestError> {
        if request.headers().contains_key(ORIGIN) {
            return Err(RequestError::SentByBrowser);
        }
        let Some(accepted) = &self.token else { return check_host(request) };
        let presented = bearer(request.headers()).ok_or(RequestError::MissingToken)?;
        if matches_any_key(accepted, presented) { Ok(()) } else { Err(RequestError::UnknownToken) }
    }
}

/// Rejects a `Host` other than localhost: a DNS-rebound page sends its own name.
fn check_host(request: &Request) -> Result<(), RequestError> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(is_localhost) { Ok(()) } else { Err(RequestError::ForeignHost) }
}

/// Returns whether a `Host` header is `localhost`, with or without a port.
fn is_localhost(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    name.eq_ignore_ascii_case("localhost") && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_is_localhost() {
        for host in ["localhost", "LOCALHOST:1"] {
            assert!(is_localhost(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "localhost:", "127.0.0.1"] {
            assert!(!is_localhost(host), "{host}");
        }
    }
}
