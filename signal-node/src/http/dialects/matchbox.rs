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
        .route(&format!("{path}/"), get(connect))
        .route(&format!("{path}/{{room}}"), get(connect));
    router.layer(readable_anywhere())
}

async fn connect(
    State(public): State<Arc<Public>>,
    room: Option<Path<String>>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let request = UpgradeRequest::new(&uri, &headers, &extensions);
    let span = Span::root("GET /matchbox", Kind::Server);
    let admitted = admit(&public, &request, socket).await;
    let room = room.map(|Path(room)| room).unwrap_or_default();
    let next = parameter(&uri, "next").parse().ok();
    let dialect = Box::new(Matchbox::new(random_key(), &room, next));
    answer(&public, &request, &extensions, (admitted, Some(dialect), span))
}
