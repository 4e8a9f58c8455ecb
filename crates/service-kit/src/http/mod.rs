//! HTTP serving: the only module of this crate that names axum and hyper.

mod admin;
mod bearer;
mod bounds;
mod deadlines;
mod listener;
mod origin;
mod problem;
mod problem_schema;
mod proxies;
mod serve;
mod tls;

#[cfg(test)]
mod tests;

pub use admin::{Health, admin_router};
pub use axum::Router;
pub use bearer::bearer;
pub use bounds::{ConnectionBounds, descriptors};
pub use listener::{ListenAddr, Listener, SOCKET_MODE, SocketMode};
pub use origin::Origin;
pub use problem::Problem;
pub use problem_schema::ProblemSchema;
pub use proxies::Proxies;
pub use serve::{MAX_HEADERS, closing, serve, serve_while};
pub use tls::{TLS_CERT_FILE, TLS_KEY_FILE, Tls};
