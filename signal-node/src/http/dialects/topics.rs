//! The path of topics: a WebSocket, and a plain `GET` that says that the server is there, as the original one does.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header::UPGRADE;
use axum::http::{Extensions, HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use service_kit::trace::{Kind, Span};
use signal_dialects::Topics;

use super::super::upgrade::{UpgradeRequest, answer};
use super::super::{Public, readable_anywhere};
use super::admit;

pub(super) fn routes(path: &str) -> Router<Arc<Public>> {
    Router::new().route(path, get(connect).layer(readable_anywhere()))
}

async fn connect(
    State(public): State<Arc<Public>>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if !headers.contains_key(UPGRADE) {
        return "okay".into_response();
    }
    let request = UpgradeRequest::new(&uri, &headers, &extensions);
    let span = Span::root("GET /topics", Kind::Server);
    let admitted = admit(&public, &request, socket).await;
    let dialect = Box::new(Topics::default());
    answer(&public, &request, &extensions, (admitted, Some(dialect), span))
}
