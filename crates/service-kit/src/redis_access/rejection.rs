//! Advice for a Redis that rejects the user of a service. Unlike an outage, a rejection does not
//! end by itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Interval at which a continuing rejection is logged again.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The code at the start of a reply of Redis, and the advice to the operator.
type Rejection = (&'static str, &'static str);

const MISSING_RIGHT: &str =
    "give the user the commands, keys and channels that docs/run/redis.md lists";

const REJECTIONS: [Rejection; 4] = [
    (
        "WRONGPASS",
        "check the user and password of the URL; a user made with ACL SETUSER is gone after a restart of Redis \
         unless it is in redis.conf or in the aclfile (ACL SAVE): see docs/run/redis.md",
    ),
    ("NOAUTH", "Redis asks for a password: put user and password into the URL"),
    ("NOPERM", MISSING_RIGHT),
    // So Redis 7.0 says it of a command inside a script.
    ("The user executing the script can't", MISSING_RIGHT),
];

fn rejection(error: &str) -> Option<Rejection> {
    REJECTIONS.into_iter().find(|(code, _)| error.contains(code))
}

/// Returns what to do about an error of Redis, if it is a rejection of the user.
#[must_use]
pub fn advice(error: &str) -> Option<&'static str> {
    rejection(error).map(|(_, advice)| advice)
}

/// Decides which rejections are logged: the first of each kind, then one a minute.
#[derive(Debug, Default)]
pub struct RejectionLog(Mutex<Option<(&'static str, Instant)>>);

impl RejectionLog {
    /// Returns the advice to log with `error`, or `None` if it is no rejection or was just logged.
    #[must_use]
    pub fn advice_to_log(&self, error: &str, now: Instant) -> Option<&'static str> {
        let (code, advice) = rejection(error)?;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = last.is_some_and(|(known, at)| known == code && now - at < LOG_EVERY);
        if recent {
            return None;
        }
        *last = Some((code, now));
        Some(advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: &str = "Authentication Error: WRONGPASS invalid username-password pair";

    #[test]
    fn a_rejection_is_logged_at_once_when_its_kind_changes_and_every_minute() {
        let (log, start) = (RejectionLog::default(), Instant::now());
        let logs = |error, seconds| {
            log.advice_to_log(error, start + Duration::from_secs(seconds)).is_some()
        };
        assert!(!logs("IO Error: connection refused", 0));
        assert!(logs(WRONG, 0));
        assert!(!logs(WRONG, 59));
        assert!(logs("NOPERM this user has no permissions", 59));
        assert!(logs(WRONG, 60));
        assert!(logs(WRONG, 120));
    }

    #[test]
    fn the_advice_for_a_lost_user_names_the_files_that_keep_it() {
        let advice = advice(WRONG).unwrap();
        assert!(advice.contains("redis.conf") && advice.contains("ACL SAVE"), "{advice}");
        let script =
            "ERR The user executing the script can't run this command or subcommand script: 1eb";
        assert!(super::advice(script).is_some());
        assert_eq!(super::advice("LOADING Redis is loading the dataset in memory"), None);
    }
}
