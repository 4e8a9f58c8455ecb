//! Serving HTTP: the only module here that names axum and hyper.

mod admin;
mod bearer;
mod listener;
mod problem;
mod serve;

#[cfg(test)]
mod tests;

pub use admin::{Health, admin_router};
pub use axum::Router;
pub use bearer::bearer;
pub use listener::{ListenAddr, Listener};
pub use problem::Problem;
pub use serve::{MAX_HEADERS, serve};
