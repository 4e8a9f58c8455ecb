//! A stateless WebSocket node that carries WebRTC signaling between the members of rooms.
//!
//! Arrows point down: `main → node → http → session → room → log`. Settings and metrics are used by all and
//! use none.
//!
//! - [`node`]: one running node
//! - [`http`]: the upgrade, REST, the demo page; the only place that names axum
//! - [`doctor`]: comes to a cluster as a client would
//! - [`session`]: one connection: a pure machine and the task that drives it
//! - [`credentials`]: where ICE servers come from
//! - [`room`]: the rooms that have members here, and the hot path
//! - [`timeline`]: what happened in a room, for people who ask afterwards
//! - [`webhooks`]: tells back ends what happens in rooms and calls
//! - [`log`]: the seam to what all nodes share; Redis, or this process's memory
#![cfg_attr(
    test,
    expect(clippy::wildcard_enum_match_arm, reason = "a test selects the outcomes it expects")
)]

mod backend;
pub mod config;
pub mod credentials;
pub mod doctor;
mod drain;
pub mod http;
mod lazy_queue;
pub mod liveness;
pub mod log;
pub mod metrics;
pub mod node;
mod pending_futures;
mod resettable_timer;
pub mod revoked;
pub mod room;
pub mod room_quota;
pub mod send_budget;
pub mod session;
mod setting_conflicts;
pub mod timeline;
mod token_bucket;
pub mod webhooks;
