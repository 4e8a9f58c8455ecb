//! The path of Socket.IO: Engine.IO over HTTP polling, over a WebSocket, and from the first to the second.

mod carrier;
mod cors;
mod forwarder;
mod moving;
mod opening;
mod sessions;
mod socket;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, UPGRADE};
use axum::http::{Extensions, HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use engine_io::{Query, RequestError, Transport};
use tokio::time::Instant;

use self::forwarder::Forwarder;
use self::sessions::{Answer, Ask, EngineSessions};
use super::super::static_file::StaticFile;
use super::super::upgrade::{UpgradeRequest, check_handshake};
use super::super::{Public, readable_anywhere};

/// Routes the path, with a slash at its end as clients write it and without one; a body has `largest` bytes at most.
pub(super) fn routes(path: &str, public: &Arc<Public>, largest: usize) -> Router<Arc<Public>> {
    let sessions = Arc::new(EngineSessions::default());
    let node = public.sessions.settings.node.clone();
    let forwarder = Forwarder::new(node, public.sessions.rooms.log(), sessions.clone());
    let requests = || get(on_get).post(on_post).options(cors::preflight);
    Router::new()
        .route(path, requests())
        .route(&format!("{path}/"), requests())
        .merge(script_routes(path, public))
        .layer(DefaultBodyLimit::max(largest))
        .layer(Extension(Polled { sessions, forwarder }))
        .layer(middleware::from_fn_with_state(public.clone(), cors::allow))
}

/// Routes the script of the client: old pages load it from the server.
fn script_routes(path: &str, public: &Public) -> Router<Arc<Public>> {
    let Some(script) = public.socketio_client.clone() else { return Router::new() };
    let script = Arc::new(StaticFile::script(script));
    let names = ["socket.io.js", "socket.io.min.js"];
    names.into_iter().fold(Router::new(), |router, name| {
        let script = script.clone();
        let serve = get(async move |headers: HeaderMap| script.answer(&headers));
        router.route(&format!("{path}/{name}"), serve.layer(readable_anywhere()))
    })
}

/// The sessions that are polled for, here and on other nodes.
#[derive(Clone)]
struct Polled {
    sessions: Arc<EngineSessions>,
    forwarder: Arc<Forwarder>,
}

impl Polled {
    /// Has a session answer a request, wherever it is.
    async fn request(
        &self,
        public: &Public,
        request: &UpgradeRequest<'_>,
        (sid, ask): (String, Ask),
    ) -> Answer {
        let Some(node) = self.forwarder.other_node(&sid) else {
            return self.sessions.request(&sid, ask).await;
        };
        // Whoever guesses names of sessions has the others asked no more often than it may guess tokens.
        let address = public.proxies.client_address(request.peer(), request.headers);
        let unverified = &public.unverified_limiter;
        let may_ask = unverified.may_verify(address, Instant::now());
        may_ask.map_err(|_| RequestError::UnknownSession)?;
        let answer = self.forwarder.request(&node, sid, ask).await;
        if answer == Err(RequestError::UnknownSession) {
            unverified.token_refused(address, Instant::now());
        }
        answer
    }
}

async fn on_get(
    State(public): State<Arc<Public>>,
    Extension(polled): Extension<Polled>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let query = read_query(&uri);
    let is_upgrade = headers.contains_key(UPGRADE);
    let request = UpgradeRequest::new(&uri, &headers, &extensions);
    match (query.transport, query.sid, is_upgrade) {
        (None, ..) => refuse(RequestError::UnknownTransport, is_upgrade),
        (Some(Transport::WebSocket), None, true) => {
            let opening = (query.revision, check_handshake(socket));
            opening::over_websocket(&public, &request, &extensions, opening).await
        }
        (Some(Transport::WebSocket), Some(sid), true) => {
            moving::to_websocket(&public, &polled, (&request, &extensions), sid).await
        }
        (Some(Transport::Polling), None, false) => {
            opening::over_polling(&public, &polled, &request, query.revision).await
        }
        (Some(Transport::Polling), Some(sid), false) => {
            let answered = polled.request(&public, &request, (sid, Ask::Poll)).await;
            answer(answered, "text/plain; charset=UTF-8")
        }
        (Some(Transport::WebSocket), _, false) | (Some(Transport::Polling), _, true) => {
            refuse(RequestError::BadRequest, is_upgrade)
        }
    }
}

async fn on_post(
    State(public): State<Arc<Public>>,
    Extension(polled): Extension<Polled>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let query = read_query(&uri);
    let request = UpgradeRequest::new(&uri, &headers, &extensions);
    match (query.transport, query.sid, body) {
        (None, ..) => refuse(RequestError::UnknownTransport, false),
        (Some(_), None, _) => refuse(RequestError::BadMethod, false),
        (Some(Transport::WebSocket), Some(_), _) => refuse(RequestError::BadRequest, false),
        (Some(Transport::Polling), Some(_), Err(rejection)) => rejection.status().into_response(),
        (Some(Transport::Polling), Some(sid), Ok(body)) => {
            // A body that is no text is binary data, which no event here has.
            let answered = match String::from_utf8(body.into()) {
                Ok(text) => polled.request(&public, &request, (sid, Ask::Post(text))).await,
                Err(_) => Err(RequestError::BadRequest),
            };
            answer(answered, "text/html")
        }
    }
}

fn read_query(uri: &Uri) -> Query {
    let query = uri.query().unwrap_or_default().as_bytes();
    let parameters: Vec<_> = form_urlencoded::parse(query).collect();
    Query::read(parameters.iter().map(|(name, value)| (&**name, &**value)))
}

fn answer(answer: Answer, content_type: &'static str) -> Response {
    match answer {
        Ok(body) => {
            ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")], body).into_response()
        }
        Err(error) => refuse(error, false),
    }
}

/// Answers a request that is refused: the handshake of a WebSocket with the words alone.
fn refuse(error: RequestError, is_upgrade: bool) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let (content_type, body) = if is_upgrade {
        ("text/html", error.message().to_owned())
    } else {
        ("application/json", error.body())
    };
    (status, [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")], body).into_response()
}
