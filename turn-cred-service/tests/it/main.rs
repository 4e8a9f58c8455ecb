//! The service from outside: over HTTP, as a program, and against a real relay.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod clients;
mod doctor;
mod internal;
mod openapi;
mod program;
mod public;
mod redis_user;
mod relay;
mod relays;
mod rotation;
mod shapes;
mod support;
mod usage;
