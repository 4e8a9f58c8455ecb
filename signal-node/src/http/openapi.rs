//! The description of the REST interface (OpenAPI 3.1), made of its types and routes.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{Public, ice, refusal, revocations, rooms, timelines, webhooks};

/// Written once; it does not depend on the settings.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let text = Rest::openapi().to_pretty_json().expect("a description serializes");
    text + "\n"
});

#[derive(OpenApi)]
#[openapi(
    info(
        title = "signal-node",
        description = "Rooms for back ends, over any node of the cluster, and ICE servers for pages. Clients use the WebSocket at \
                       `/v1/ws` (docs/PROTOCOL.md). Errors are `application/problem+json` (RFC 9457) \
                       with a `code` to depend on.",
    ),
    paths(ice::ice_servers, rooms::inspect, rooms::configure, rooms::announce, rooms::kick, rooms::cluster, revocations::list,
        revocations::revoke, revocations::lift, timelines::of_room, timelines::of_user, webhooks::dead_letters, webhooks::replay, description),
    components(schemas(refusal::ProblemSchema)),
    modifiers(&Scheme),
)]
struct Rest;

/// The description of the REST interface, as a node serves it.
#[must_use]
pub fn openapi() -> String {
    TEXT.clone()
}

/// Routes `GET /v1/openapi.json`.
pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new().route("/v1/openapi.json", get(description))
}

/// Describes this interface
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "rooms",
    responses((status = 200, description = "This document.", body = serde_json::Value)),
)]
async fn description() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// Declares by what callers are told apart.
struct Scheme;

impl Modify for Scheme {
    fn modify(&self, document: &mut Document) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description =
            Some("A JWT whose `can` has `admin` and whose `rooms` open the room.".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}
