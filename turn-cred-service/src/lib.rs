//! Issues short-lived TURN credentials over REST, so that no TURN password is ever kept in a
//! client.
//!
//! A credential is a username that names its own end and the HMAC of that username under a
//! secret shared with the relay (`credential`); the relay checks it without asking anybody. Who gets
//! one is decided by a token on the public listener, and by the node beside us on the internal
//! one (`http`). [`Service::start`] runs it all in any process: the binary, a test, a laptop.

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
pub mod rotation;
mod service;
pub mod usage;

pub use config::{Config, SCHEMA};
pub use http::openapi;
pub use service::{ListenAddresses, RunningService, Service, StartError};
