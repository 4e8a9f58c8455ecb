//! Our node: the release binary with tokens, limits and metrics on.

use std::path::Path;

use super::process::{Process, on_first_core};
use crate::problem::Problem;

/// The key that tokens are signed with.
pub(crate) const SECRET: &str = "signal-bench-signal-bench-signal-bench";

/// Starts a node; with an empty `redis`, its rooms are its own. `extra` holds further settings without their prefix.
///
/// The limits are on, but wide: a load generator is one client that says more than any browser would.
pub(crate) async fn signal_node(
    program: &Path,
    redis: &str,
    extra: &[(&str, &str)],
) -> Result<Process, Problem> {
    let backend = if redis.is_empty() { "memory" } else { "redis" };
    let mut command = on_first_core(program);
    command.env_clear().envs([
        ("SIGNAL_NODE_LISTEN", "127.0.0.1:0"),
        ("SIGNAL_NODE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("SIGNAL_NODE_BACKEND", backend),
        ("SIGNAL_NODE_JWT_SECRET", SECRET),
        ("SIGNAL_NODE_RATE", "1000000/s,burst=1000000"),
        ("SIGNAL_NODE_FANOUT", "3GiB/s,burst=3GiB"),
        ("SIGNAL_NODE_ROOM_CAPACITY", "200"),
        ("SIGNAL_NODE_LOG", "warn"),
    ]);
    if !redis.is_empty() {
        command.env("SIGNAL_NODE_REDIS_URL", redis);
    }
    command.envs(extra.iter().map(|(name, value)| (format!("SIGNAL_NODE_{name}"), value)));
    Process::start("signal-node", &mut command).await
}
