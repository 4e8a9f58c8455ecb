//! What the promises of docs/PROTOCOL.md are worth when something breaks.

mod drain;
mod liveness;
mod redis;
mod resume;

/// Settings under which silence is noticed, and absence ends, as soon as the rules allow.
const QUICK: [(&str, &str); 3] =
    [("SIGNAL_NODE_LEASE", "1s"), ("SIGNAL_NODE_PING", "1s"), ("SIGNAL_NODE_GRACE", "11s")];
