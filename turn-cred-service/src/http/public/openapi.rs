//! The OpenAPI 3.1 document of the public listener, generated from its types and routes.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, PathItem, Ref, RefOr, Required};
use utoipa::{Modify, OpenApi};

use super::error_responses::header;
use super::state::PublicState;
use super::{admin, cloudflare, draft, error_responses, matrix, native};

/// Second paths of the same route.
const ALIASES: [(&str, &str); 2] = [
    ("/turn", "/turn/credentials"),
    ("/_matrix/client/v3/voip/turnServer", "/_matrix/client/r0/voip/turnServer"),
];

/// Headers of every response, errors too.
const HEADERS: [(&str, &str); 3] = [
    ("Cache-Control", "`no-store`: a cached credential would be served to other clients."),
    ("Pragma", "`no-cache`, for caches of HTTP/1.0."),
    ("Vary", "`Origin, Authorization`"),
];

/// Generated once: the document does not depend on the settings.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let text = Public::openapi().to_pretty_json().expect("a description serializes");
    text + "\n"
});

#[derive(OpenApi)]
#[openapi(
    info(
        title = "turn-cred-service",
        description = "Short-lived TURN credentials; the route determines the response format. \
                       Errors are `application/problem+json` (RFC 9457) with a stable `code`; \
                       routes and methods that are not described here answer `not_found` or \
                       `method_not_allowed`.",
    ),
    paths(
        native::ice_servers,
        draft::turn,
        draft::turn_by_form,
        matrix::turn_server,
        cloudflare::generate_ice_servers,
        cloudflare::generate,
        admin::subject_usage,
        admin::room_usage,
        admin::deny,
        admin::allow,
        admin::relays,
        description,
    ),
    tags(
        (name = "native", description = "This project's own API: ICE servers, and when to \
                                         renew them."),
        (name = "draft-uberti", description = "draft-uberti-behave-turn-rest-00: Janus, and \
                                               clients of Nextcloud's signaling server."),
        (name = "matrix", description = "The client-server API of Matrix."),
        (name = "admin", description = "For operators and back ends, with a token whose `can` has \
                                        `admin`."),
        (name = "cloudflare", description = "Cloudflare's TURN service."),
    ),
    components(schemas(
        error_responses::ProblemSchema,
        error_responses::MatrixProblemSchema,
        error_responses::AdminProblemSchema,
    )),
    modifiers(&Schemes, &Bodies, &Aliases, &Answers),
)]
struct Public;

/// The OpenAPI document, as the public listener serves it.
#[must_use]
pub fn openapi() -> String {
    TEXT.clone()
}

pub(super) fn routes() -> Router<Arc<PublicState>> {
    Router::new().route("/v1/openapi.json", get(description))
}

/// Describes this interface
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "native",
    responses((status = 200, description = "This document.", body = serde_json::Value)),
)]
async fn description() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// Adds the security schemes.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = |what: &str| {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(what.to_owned());
            SecurityScheme::Http(scheme)
        };
        let query = |name: &str| SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new(name)));
        components.add_security_scheme("token", bearer("A JWT whose `sub` is the subject."));
        components.add_security_scheme("api_key", bearer("One of `TURN_CRED_API_KEYS`."));
        components.add_security_scheme("key", query("key"));
        components.add_security_scheme("api", query("api"));
    }
}

/// Marks every request body as optional.
struct Bodies;

impl Modify for Bodies {
    fn modify(&self, document: &mut Document) {
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.required = Some(Required::False);
            }
        }
    }
}

/// Copies the operations of a route to its second path.
struct Aliases;

impl Modify for Aliases {
    fn modify(&self, document: &mut Document) {
        for (path, alias) in ALIASES {
            let mut item = document.paths.paths[path].clone();
            for operation in operations(&mut item) {
                // Operation ids must be unique in a document.
                operation
                    .operation_id
                    .as_mut()
                    .expect("utoipa sets an operation id")
                    .push_str("_alias");
            }
            document.paths.paths.insert(alias.to_owned(), item);
        }
    }
}

/// Adds the error responses that routes refer to, and [`HEADERS`] to every response.
struct Answers;

impl Modify for Answers {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let errors = error_responses::answers().map(|(name, answer)| (name, RefOr::T(answer)));
        components.responses.extend(errors);
        let items = document.paths.paths.values_mut();
        let direct = items.flat_map(operations).flat_map(|o| o.responses.responses.values_mut());
        for answer in direct.chain(components.responses.values_mut()) {
            let RefOr::T(answer) = answer else { continue };
            let reference = |name| RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
            answer.headers.extend(HEADERS.map(|(name, _)| (name.to_owned(), reference(name))));
        }
        for (name, what) in HEADERS {
            components.headers.insert(name.to_owned(), header(what));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
    methods.into_iter().flatten()
}
