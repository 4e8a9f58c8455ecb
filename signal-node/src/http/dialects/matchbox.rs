//! The paths of matchbox: a WebSocket for each room, whose name is the rest of the path.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{Extensions, HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;
use service_kit::trace::{Kind, Span};
use signal_dialects::Matchbox;

use super::super::upgrade::{UpgradeRequest, answer};
use super::super::{Public, readable_anywhere};
use super::{admit, parameter};
use crate::session::random_key;

pub(super) fn routes(path: &str) -> Router<Arc<Public>> {
    let router = Router::new()
        .route(&format!("{path}/"), get(connect_unnamed))
        .route(&format!("{path}/{{room}}"), get(connect_named));
    router.layer(readable_anywhere())
}

async fn connect_unnamed(
    State(public): State<Arc<Public>>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let request = UpgradeRequest::new(&uri, &headers, &extensions);
    connect(&public, &request, (&extensions, ""), socket).await
}

async fn connect_named(
    State(public): State<Arc<Public>>,
    Path(room): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let request = UpgradeRequest::new(&uri, &headers, &extensions);
    connect(&public, &request, (&extensions, &room), socket).await
}

async fn connect(
    public: &Arc<Public>,
    request: &UpgradeRequest<'_>,
    (extensions, room): (&Extensions, &str),
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let span = Span::root("GET /matchbox", Kind::Server);
    let admitted = admit(public, request, socket).await;
    let next = parameter(request.uri, "next").parse().ok();
    let dialect = Box::new(Matchbox::new(random_key(), room, next));
    answer(public, request, extensions, (admitted, Some(dialect), span))
}
