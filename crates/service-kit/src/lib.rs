//! What both services do alike, so that they do it once and the same way.
//!
//! Each module is one idea, and the outside world is touched in one named place each: the
//! system clock in [`clock`], the environment in [`settings`], randomness in [`random`], HTTP
//! serving in [`http`]. Nothing here knows about rooms or relays.

pub mod client_ip;
pub mod clock;
pub mod http;
pub mod lifecycle;
pub mod program;
pub mod random;
pub mod rate;
pub mod redis_access;
pub mod secrets;
pub mod settings;
pub mod telemetry;
pub mod tokens;
pub mod trace;
mod watched;
