//! The words of a Redis that answers and refuses to write.

/// Codes at the start of such an answer, or after a dash inside that of a script (Redis 6): a replica; too few
/// replicas (`min-replicas-to-write`); a snapshot that failed (`stop-writes-on-bgsave-error`); memory that is full.
const CODES: [&str; 4] = ["READONLY", "NOREPLICAS", "MISCONF", "OOM"];

/// The code of a server that is no primary, or no longer.
const REPLICA: &str = "READONLY";

/// Tells whether an error says that a write was refused. Nothing was written then: Redis looks before the first write
/// of a script.
pub(super) fn is_one(error: &str) -> bool {
    CODES.iter().any(|code| begins(error, code))
}

/// Tells whether an error says that the server is a replica.
pub(super) fn is_of_replica(error: &str) -> bool {
    begins(error, REPLICA)
}

fn begins(error: &str, code: &str) -> bool {
    error.starts_with(code) || error.contains(&format!("-{code} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_recognised_also_inside_a_script() {
        for error in [
            "READONLY You can't write against a read only replica.",
            "NOREPLICAS Not enough good replicas to write.",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            "OOM command not allowed when used memory > 'maxmemory'. script: 3ad5, on @user_script:28.",
            "ERR Error running script (call to f_3ad5): @user_script:28: -OOM command not allowed",
        ] {
            assert!(is_one(error), "{error}");
        }
        for error in [
            "LOADING Redis is loading the dataset in memory",
            "NOSCRIPT No matching script",
            "ROOM",
        ] {
            assert!(!is_one(error), "{error}");
        }
        assert!(is_of_replica("READONLY You can't write against a read only replica."));
        assert!(!is_of_replica("OOM command not allowed"));
    }
}
