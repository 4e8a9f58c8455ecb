//! Black-box tests: over HTTP, as a program, and with a real relay.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod api_shapes;
mod clients;
mod doctor;
mod internal;
mod openapi;
mod program;
mod public;
mod redis_user;
mod relay;
mod relay_failover;
mod revoked;
mod rotation;
mod support;
mod usage;
mod waiting;
