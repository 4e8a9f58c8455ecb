//! `GET /v1/ws`: everything that is checked before a connection becomes a session.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use service_kit::http::{Problem, bearer};
use service_kit::trace::{Kind, Span};
use signal_dialects::Dialect;
use signal_protocol::SUBPROTOCOL;
use tokio::time::Instant;

use super::connection_limiter::{ConnectionPermit, LimitExceeded};
use super::websocket::{PendingSession, run_session, switching_protocols};
use super::{Anonymous, Public};
use crate::session::{Entrance, HandshakeInfo, SessionRejection};

/// `Retry-After` of a full node or address, and of a node that is starting.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Names of query parameters that would carry a token into access logs and histories.
const TOKEN_PARAMETERS: [&str; 5] = ["token", "access_token", "jwt", "bearer", "authorization"];

/// A rejection before the upgrade; `reason` is its label in `signal_upgrade_rejected_total`.
pub(super) struct Rejection {
    reason: &'static str,
    problem: Problem,
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        rejection.problem
    }
}

fn reject(reason: &'static str, status: StatusCode, code: &'static str, detail: &str) -> Rejection {
    Rejection { reason, problem: Problem::new(status, code).detail(detail.to_owned()) }
}

/// The parts of the HTTP request that are checked.
pub(super) struct UpgradeRequest<'a> {
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) peer: Option<SocketAddr>,
}

/// Upgrades a request and starts its session, or answers with the reason.
pub(super) async fn upgrade(
    State(public): State<Arc<Public>>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let request = UpgradeRequest::new(&uri, &headers, &extensions);
    let span = Span::root("GET /v1/ws", Kind::Server);
    let admitted = admit(&public, &request, socket).await;
    answer(&public, &request, &extensions, (admitted, None, span))
}

/// What a handshake has led to.
pub(super) type Admission = Result<(Entrance, ConnectionPermit), Rejection>;

/// Starts the session of an admitted client, or says why there is none.
pub(super) fn answer(
    public: &Arc<Public>,
    request: &UpgradeRequest<'_>,
    extensions: &Extensions,
    (admitted, dialect, span): (Admission, Option<Box<dyn Dialect>>, Option<Span>),
) -> Response {
    answer_with(public, request, extensions, (admitted, dialect, span), |upgrade, pending| {
        tokio::spawn(run_session(upgrade, pending));
    })
}

/// Has `start` run the session of an admitted client, or says why there is none.
pub(super) fn answer_with(
    public: &Arc<Public>,
    request: &UpgradeRequest<'_>,
    extensions: &Extensions,
    (admitted, dialect, span): (Admission, Option<Box<dyn Dialect>>, Option<Span>),
    start: impl FnOnce(OnUpgrade, Box<PendingSession>),
) -> Response {
    let protocol = dialect.is_none();
    let pending = match pending(public, request, (admitted, dialect, span)) {
        Ok(pending) => Box::new(pending),
        Err(refused) => return *refused,
    };
    let Some(upgrade) = extensions.get::<OnUpgrade>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    start(upgrade, pending);
    switching_protocols(request.headers, protocol)
}

/// Takes in what a session begins with; the error is the answer that says why there is none.
pub(super) fn pending(
    public: &Arc<Public>,
    request: &UpgradeRequest<'_>,
    (admitted, dialect, span): (Admission, Option<Box<dyn Dialect>>, Option<Span>),
) -> Result<PendingSession, Box<Response>> {
    match admitted {
        Ok((entrance, permit)) => {
            let region = public.proxies.client_region(request.peer(), request.headers);
            let trace = span.and_then(|span| span.parent()).map(Box::new);
            let address = public.proxies.client_address(request.peer(), request.headers);
            let source = HandshakeInfo { address, region, trace };
            Ok(PendingSession { entrance, source, dialect, public: public.clone(), permit })
        }
        Err(Rejection { reason, problem }) => {
            public.sessions.metrics.rejected.with_label_values(&[reason]).inc();
            if let Some(span) = span {
                span.set("error.type", reason);
                span.fail();
            }
            // Further requests over this connection would come as fast as they are refused.
            let close = [(CONNECTION, HeaderValue::from_static("close"))];
            Err(Box::new((close, problem).into_response()))
        }
    }
}

async fn admit(
    public: &Arc<Public>,
    request: &UpgradeRequest<'_>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Admission {
    request.check_query()?;
    check_handshake(socket)?;
    let offered = request.protocols();
    if !offered.is_empty() && !offered.contains(&SUBPROTOCOL) {
        let text = SessionRejection::protocol().message;
        return Err(reject("malformed", StatusCode::BAD_REQUEST, "bad_request", &text));
    }
    // A page that forgot the subprotocol would see no status; one that offered others fails by itself.
    let missing = offered.is_empty().then(SessionRejection::protocol);
    enter(public, request, (None, missing)).await
}

/// Checks what axum says of the handshake; the session runs on `ws_codec` instead of axum's WebSocket.
pub(super) fn check_handshake(
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<(), Rejection> {
    socket.map(drop).map_err(|rejection| {
        reject("malformed", rejection.status(), "bad_request", &rejection.body_text())
    })
}

/// Verifies the token of the headers or this one, and counts the client among those that are here.
pub(super) async fn enter(
    public: &Arc<Public>,
    request: &UpgradeRequest<'_>,
    (token, refused): (Option<&str>, Option<SessionRejection>),
) -> Admission {
    let (address, now) =
        (public.proxies.client_address(request.peer(), request.headers), Instant::now());
    let unverified = &public.unverified_limiter;
    unverified.may_verify(address, now).map_err(unverified_rejection)?;
    let entrance = match request.refused_origin(public).or(refused) {
        Some(refused) => Ok(Entrance::Rejected(refused)),
        None => request.entrance(public, token).await,
    };
    // A token is verified before anything is taken that all share: whoever has a valid one must get in beside any
    // number of attempts without one.
    match &entrance {
        Ok(Entrance::Authenticated(_)) => {}
        Ok(Entrance::AwaitingHello { .. }) => {
            unverified.attempt(address, now).map_err(unverified_rejection)?;
        }
        Ok(Entrance::Rejected(_)) | Err(_) => {
            unverified.token_refused(address, now);
            unverified.attempt(address, now).map_err(unverified_rejection)?;
        }
    }
    let entrance = entrance?;
    let limiter = &public.connection_limiter;
    let permit = match &entrance {
        Entrance::Rejected(_) => limiter.enter_to_be_rejected(address),
        Entrance::Authenticated(_) | Entrance::AwaitingHello { .. } => limiter.enter(address, now),
    };
    Ok((entrance, permit.map_err(rejection_for)?))
}

/// The rejection of a network that attempts too many upgrades without a valid token.
fn unverified_rejection(wait: Duration) -> Rejection {
    Rejection { reason: "unverified", problem: unverified_problem(wait) }
}

/// The answer to a network from which too much comes without a valid token.
pub(super) fn unverified_problem(wait: Duration) -> Problem {
    let text = "too many connections without a valid token come from this network";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited").detail(text).retry_spread(wait)
}

fn rejection_for(exceeded: LimitExceeded) -> Rejection {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let Rejection { reason, problem } = match exceeded {
        LimitExceeded::Node => reject("capacity", unavailable, "unavailable", "the node is full"),
        LimitExceeded::Draining => {
            reject("draining", unavailable, "unavailable", "the node is stopping")
        }
        LimitExceeded::Address => {
            let text = "too many connections from this address";
            reject("address", StatusCode::TOO_MANY_REQUESTS, "rate_limited", text)
        }
        LimitExceeded::Rate(_) => {
            reject("rate", unavailable, "unavailable", "too many come at once")
        }
    };
    let after = if let LimitExceeded::Rate(wait) = exceeded { wait } else { RETRY_AFTER };
    Rejection { reason, problem: problem.retry_spread(after) }
}

impl<'a> UpgradeRequest<'a> {
    pub(super) fn new(uri: &'a Uri, headers: &'a HeaderMap, extensions: &Extensions) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        Self { uri, headers, peer }
    }

    fn header(&self, name: impl axum::http::header::AsHeaderName) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn check_query(&self) -> Result<(), Rejection> {
        let names = self.uri.query().unwrap_or_default().split('&');
        let names = names.map(|pair| pair.split('=').next().unwrap_or_default());
        for name in names {
            if TOKEN_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
                let text = "a token in a URL ends up in logs: send it as Authorization header, as \
                            subprotocol bearer.<token>, or in hello";
                return Err(reject("token", StatusCode::BAD_REQUEST, "bad_request", text));
            }
        }
        Ok(())
    }

    /// Tells a page that may not connect why. It learns that after the upgrade, since a browser shows it no status.
    fn refused_origin(&self, public: &Public) -> Option<SessionRejection> {
        let origin = self.headers.get(ORIGIN)?.to_str().unwrap_or_default();
        let allowed = public.origins.allows(origin, self.header(HOST));
        (!allowed).then(|| SessionRejection::origin(origin))
    }

    fn protocols(&self) -> Vec<&'a str> {
        let headers = self.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let texts = headers.filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(',')).map(str::trim).collect()
    }

    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.peer.map(|peer| peer.ip())
    }

    async fn entrance(&self, public: &Public, token: Option<&str>) -> Result<Entrance, Rejection> {
        if let Some(token) = self.token_in_header() {
            return match public.sessions.verify(token).await {
                Ok(identity) => Ok(Entrance::Authenticated(identity)),
                Err(refused) => {
                    let (status, code) = (StatusCode::UNAUTHORIZED, refused.code.name());
                    Err(reject("token", status, code, &refused.message))
                }
            };
        }
        let offered = self.protocols();
        let token = offered.iter().find_map(|protocol| protocol.strip_prefix("bearer.")).or(token);
        Ok(match token {
            Some(token) => match public.sessions.verify(token).await {
                Ok(identity) => Entrance::Authenticated(identity),
                Err(refused) => Entrance::Rejected(refused),
            },
            None => Entrance::AwaitingHello { anonymous: public.anonymous == Anonymous::Always },
        })
    }

    /// Returns the token of the `Authorization` header. A scheme that a browser adds by itself, for a proxy before the node
    /// (RFC 7617, 7616, 4559) is none; an unknown scheme is a token that is refused.
    fn token_in_header(&self) -> Option<&'a str> {
        let header = self.headers.get(AUTHORIZATION)?;
        let scheme = header.to_str().unwrap_or_default().split(' ').next().unwrap_or_default();
        let added = ["basic", "digest", "negotiate", "ntlm"];
        let by_browser = added.iter().any(|known| scheme.eq_ignore_ascii_case(known));
        (!by_browser).then(|| bearer(self.headers).unwrap_or_default())
    }
}
