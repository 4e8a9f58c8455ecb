//! Issues short-lived TURN credentials over REST, so that no client ever holds a long-lived TURN
//! password.
//!
//! A credential is a username that contains its expiry, and the HMAC of that username under a
//! secret shared with the relay (`credential`); the relay verifies both without a request to this
//! service. On the public listener a JWT or an API key authenticates the caller; on the internal
//! listener the node names the subject (`http`). [`Service::start`] runs the whole service in any
//! process: the binary, a test, the all-in-one program.

pub mod change_notifier;
pub mod commands;
pub mod config;
pub mod credential;
pub mod doctor;
mod health;
mod http;
pub mod issuer;
pub mod key_store;
mod metrics;
pub mod pool;
pub mod relay;
pub mod relay_db;
pub mod render;
pub mod revocation;
pub mod revoked_tokens;
pub mod rotation;
mod service;
pub mod ttl;
pub mod usage;

pub use config::{Config, SCHEMA};
pub use http::openapi;
pub use service::{ListenAddresses, RunningService, Service, StartError};
