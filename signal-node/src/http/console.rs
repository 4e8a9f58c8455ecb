//! The console and what it asks, on the admin listener. It has the rights of the token that is typed into it, and no others.

use std::sync::{Arc, LazyLock, OnceLock};

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use include_dir::{Dir, include_dir};
use service_kit::http::Problem;
use tower::ServiceExt as _;

use super::static_file::StaticFiles;
use super::{Public, assets, back_end_routes, openapi, refused_tokens};

static CONSOLE_DIR: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../client/console");

static CONSOLE: LazyLock<StaticFiles> = LazyLock::new(|| StaticFiles::of(&[&CONSOLE_DIR]));

/// The console of a node. The admin listener serves before the node has a room log, so its REST interface is opened later.
#[derive(Clone, Default)]
pub struct Console {
    rest: Arc<OnceLock<Router>>,
}

impl Console {
    /// Opens the REST interface.
    pub fn open(&self, public: Arc<Public>) {
        let largest = public.sessions.settings.max_message;
        let routes = refused_tokens::bounded(back_end_routes(largest), &public)
            .merge(openapi::routes())
            .fallback(async || missing())
            .method_not_allowed_fallback(async || {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
            });
        let opened = self.rest.set(routes.with_state(public));
        debug_assert!(opened.is_ok(), "a node has one room log");
    }

    /// Routes the page, its files, and the REST interface.
    pub fn routes(&self) -> Router {
        let rest = self.rest.clone();
        let ask = async move |request: Request| match rest.get() {
            _ if !request.uri().path().starts_with("/v1/") => missing(),
            Some(router) => router.clone().oneshot(request).await.into_response(),
            None => starting(),
        };
        Router::new()
            .route("/console", get(async |headers: HeaderMap| page("index.html", &headers)))
            .route(
                "/console/{*path}",
                get(async |Path(path): Path<String>, headers: HeaderMap| page(&path, &headers)),
            )
            .merge(assets::demo())
            // No route: its parameters would be among those of the routes within.
            .fallback(ask)
    }
}

fn page(path: &str, headers: &HeaderMap) -> Response {
    assets::serve(&CONSOLE, path, headers)
}

fn missing() -> Response {
    let text = "there are probes, /metrics, /console and the REST interface at /v1";
    Problem::new(StatusCode::NOT_FOUND, "not_found").detail(text).into_response()
}

fn starting() -> Response {
    let text = "the node is starting: its room log is unavailable";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable").detail(text).into_response()
}
