//! The node from outside: its log on both backends, its protocol over real sockets, two nodes over Redis.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test selects the outcomes and events it expects"
)]

mod assets;
mod calls;
mod crash;
mod dialects;
mod doctor;
mod ice;
mod log_lines;
mod log_suite;
mod malformed;
mod matchbox;
mod metrics;
mod presence;
mod program;
mod protocol;
mod redis_user;
mod rest;
mod revoked;
mod rust_client;
mod socketio;
mod subjects;
mod support;
mod timelines;
mod tls;
mod traces;
mod waiting;
mod webhooks;
