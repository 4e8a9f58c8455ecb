//! Code shared by both services: settings, secrets, tokens, HTTP serving, logs, traces, shutdown.
//!
//! Each contact with the outside world is in one module: the system clock in [`clock`], the
//! environment in [`settings`], randomness in [`random`], HTTP serving in [`http`]. Nothing here
//! depends on rooms or relays.

pub mod client_ip;
pub mod clock;
pub mod findings;
pub mod http;
pub mod lifecycle;
pub mod logged_address;
mod pem;
pub mod program;
pub mod random;
pub mod rate;
pub mod redis_access;
pub mod secrets;
pub mod settings;
pub mod telemetry;
pub mod tokens;
pub mod trace;
mod watched_file;
