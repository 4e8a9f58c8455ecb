//! The internal listener: the node beside us names the subject, and no browser gets through.
//!
//! Browsers are kept out: a request with `Origin` is refused, and over TCP a bearer token is asked
//! for, which no page has. `Host` says nothing there: a node asks by the name of a Service, or of a
//! proxy. Without a token, on a socket file, `Host` must be `localhost`, so that a page gets nothing
//! even where somebody forwards a port to the file.

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

use super::cache::Cache;
use super::refusal::Refusal;
use super::traced::below_the_node;
use super::{bounded, conclude, is_one_of, read_body, refuse, uncached};
use crate::changes::Change;
use crate::issuer::{Ask, Issuer, NotIssued};
use crate::metrics::{Metrics, Side};
use crate::render::native::Answer;
use crate::usage::RoomNotes;

/// What answering on the internal listener takes.
#[derive(Debug)]
pub(crate) struct InternalDesk {
    issuer: Issuer,
    token: Option<SecretSource>,
    cache: Cache,
    rooms: Option<RoomNotes>,
    /// Cancelled when the service winds down, so that nobody waits for changes then.
    end: CancellationToken,
    metrics: Metrics,
}

/// The body of a request; fields not listed are ignored.
#[derive(Deserialize)]
struct Body {
    subject: String,
    /// The room, so that both ends of a call meet on one relay.
    room: Option<String>,
    /// Seconds.
    ttl: Option<u64>,
    region: Option<String>,
    /// The region or country that a proxy told the node.
    hint: Option<String>,
}

/// The query of a request for changes.
#[derive(Deserialize)]
struct After {
    /// The number of the last change known; absent at the beginning.
    after: Option<u64>,
}

/// The answer to a request for changes.
#[derive(Serialize)]
struct Changed {
    number: u64,
    reason: IceReason,
}

/// How long a request for changes waits for one: shorter than what proxies call idle.
const CHANGES_WITHIN: Duration = Duration::from_secs(25);

/// Routes `POST /internal/v1/ice-servers` and `GET /internal/v1/changes`.
pub(crate) fn internal_router(desk: InternalDesk) -> Router {
    let router = Router::new()
        .route("/internal/v1/ice-servers", post(ice_servers))
        .route("/internal/v1/changes", get(changes))
        .layer(from_fn(below_the_node));
    uncached(bounded(router.with_state(Arc::new(desk))), "Authorization")
}

async fn ice_servers(State(desk): State<Arc<InternalDesk>>, request: Request) -> Response {
    let began = Instant::now();
    let outcome = desk.answer(request).await;
    conclude(&desk.metrics, Side::Internal, began, outcome.map(Json))
}

/// Answers with the newest change, at once if it is another than the caller knows, else when
/// there is one or after [`CHANGES_WITHIN`].
async fn changes(
    State(desk): State<Arc<InternalDesk>>,
    Query(After { after }): Query<After>,
    request: Request,
) -> Response {
    if let Err(refusal) = desk.check_caller(&request) {
        return refuse(&desk.metrics, &refusal);
    }
    let mut changes = desk.issuer.changes().subscribe();
    let is_news = |change: &Change| after != Some(change.number);
    let news = timeout(CHANGES_WITHIN, changes.wait_for(is_news));
    // Neither the end of the time nor the end of the service is news.
    let _ = desk.end.run_until_cancelled(news).await;
    let Change { number, reason } = *changes.borrow();
    Json(Changed { number, reason }).into_response()
}

impl InternalDesk {
    /// Prepares answering; over TCP the settings see to it that there is a token.
    pub(crate) fn new(
        issuer: Issuer,
        token: Option<SecretSource>,
        rooms: Option<RoomNotes>,
        end: CancellationToken,
        metrics: Metrics,
    ) -> Self {
        Self { issuer, token, cache: Cache::default(), rooms, end, metrics }
    }

    async fn answer(&self, request: Request) -> Result<Answer, Refusal> {
        self.check_caller(&request)?;
        let Body { subject, room, ttl, region, hint } = read_body(request).await?;
        let ask = Ask {
            subject: subject.parse()?,
            room,
            region: self.issuer.pools().region(region.as_deref(), hint.as_deref())?,
            ttl: self.issuer.settle(ttl.map(Duration::from_secs)),
        };
        let now = clock::unix_now();
        let issue = |ask: &Ask| {
            let issued = self.issuer.issue(ask, now)?;
            if let (Some(rooms), Some(room)) = (&self.rooms, &ask.room) {
                rooms.note(issued.credential.subject(), room);
            }
            Ok::<_, NotIssued>(issued)
        };
        let issued = self.cache.get_or_issue(ask, self.issuer.ground(), now.as_secs(), issue)?;
        Ok(Answer::new(&issued, now.as_secs()))
    }

    fn check_caller(&self, request: &Request) -> Result<(), Refusal> {
        if request.headers().contains_key(ORIGIN) {
            return Err(Refusal::FromBrowser);
        }
        let Some(accepted) = &self.token else { return check_host(request) };
        let shown = bearer(request.headers()).ok_or(Refusal::NoToken)?;
        if is_one_of(accepted, shown) { Ok(()) } else { Err(Refusal::WrongToken) }
    }
}

/// Refuses a request that means another host: a page whose name was rebound to this address.
fn check_host(request: &Request) -> Result<(), Refusal> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(is_localhost) { Ok(()) } else { Err(Refusal::ForeignHost) }
}

/// Tells whether a `Host` header is `localhost`, with or without a port.
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
