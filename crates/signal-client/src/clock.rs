//! The only place that reads the system clock; a token may name its end by it alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time since 1970-01-01T00:00:00Z, as this machine believes.
pub(crate) fn unix_now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "all other code takes the time as an argument")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
