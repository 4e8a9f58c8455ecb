//! `GET /v1/ice`: ICE servers for pages whose clients speak another protocol, so that no page carries the password of a relay.
//!
//! It is as open as the WebSocket: the same origins, tokens and limits hold, and the credential is as short-lived.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE,
    AUTHORIZATION, CACHE_CONTROL,
};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use service_kit::http::Problem;
use service_kit::random;
use service_kit::rate::ip_key;
use signal_protocol::{CloseCode, IceServers};

use super::dialects::without_hello;
use super::refusal::ProblemSchema;
use super::upgrade::{RETRY_AFTER, UpgradeRequest, enter};
use super::{Public, readable_anywhere};
use crate::credentials::IceOwner;
use crate::session::{Entrance, Identity, SessionRejection};

/// How long a browser remembers what a page may ask.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Routes `GET /v1/ice`, and the preflight of a page that sends a token.
pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new().route("/v1/ice", get(ice_servers).options(preflight).layer(readable_anywhere()))
}

async fn preflight() -> impl IntoResponse {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET")),
        (ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_name(AUTHORIZATION)),
        (ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, headers)
}

/// Issues ICE servers
///
/// For pages with clients of other protocols. Without a token where anonymous clients may connect.
#[utoipa::path(
    get,
    path = "/v1/ice",
    tag = "ice",
    security((), ("token" = [])),
    responses(
        (status = 200, description = "What goes into `RTCConfiguration`, and for how long it is good.", body = IceServers),
        (status = 400, description = "A token stands in the query, where logs and histories keep it.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 401, description = "A token is needed, or this one opens nothing.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 403, description = "Pages of this origin may not ask.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 429, description = "Too many come from this address.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "The credential service is away, or there is none.", body = ProblemSchema, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn ice_servers(
    State(public): State<Arc<Public>>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
) -> Response {
    let request = UpgradeRequest::new(&uri, &headers, &extensions);
    match issue(&public, &request).await {
        Ok(servers) => {
            ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(servers)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn issue(public: &Arc<Public>, request: &UpgradeRequest<'_>) -> Result<IceServers, Problem> {
    let unavailable = |text: &'static str| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            .detail(text)
            .retry_spread(RETRY_AFTER)
    };
    request.check_query()?;
    let (entrance, _permit) = without_hello(public, enter(public, request, (None, None)).await)?;
    let identity = match entrance {
        Entrance::Authenticated(identity) => identity,
        Entrance::Rejected(refused) => return Err(refusal(&refused)),
        Entrance::AwaitingHello { .. } => return Err(refusal(&SessionRejection::no_token())),
    };
    let Some(credentials) = &public.sessions.credentials else {
        return Err(unavailable(
            "this node has no credential service: SIGNAL_NODE_CREDENTIALS_URL",
        ));
    };
    let region = public.proxies.client_region(request.peer(), request.headers);
    let found =
        credentials.fetch(&owner(public, request, &identity), region.as_deref(), None).await;
    let servers = found.ok_or_else(|| unavailable("the credential service gives no answer"))?;
    Ok(IceServers::clone(&servers))
}

/// Whom the credential is for: the subject, or all who are anonymous in one network.
fn owner(public: &Public, request: &UpgradeRequest<'_>, identity: &Identity) -> IceOwner {
    let subject = identity.subject();
    let address = public.proxies.client_address(request.peer(), request.headers);
    IceOwner {
        subject: subject.map_or_else(random::token, |subject| subject.as_str().to_owned()),
        network: subject.is_none().then(|| ip_key(address)),
        until: identity.ends(),
        room: None,
    }
}

fn refusal(refused: &SessionRejection) -> Problem {
    let status = if refused.close == CloseCode::OriginRefused {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::UNAUTHORIZED
    };
    Problem::new(status, refused.code.name()).detail(refused.message.clone())
}
