//! The only module that reads the system clock; all other code takes the time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

/// Returns the time since 1970-01-01T00:00:00Z.
///
/// A clock set before 1970 reads as zero: credentials issued then have expired for every relay.
#[must_use]
pub fn unix_now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "all other code calls this function")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the whole seconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn unix_seconds() -> u64 {
    unix_now().as_secs()
}

/// Formats Unix seconds as in RFC 3339 §5.6: `2021-09-07T14:56:11Z`.
///
/// RFC 3339 ends with the year 9999, and so do the times that are printed.
#[must_use]
pub fn rfc3339(unix_seconds: u64) -> String {
    let last = UtcDateTime::MAX.unix_timestamp();
    let seconds = i64::try_from(unix_seconds).unwrap_or(last).min(last);
    let moment = UtcDateTime::from_unix_timestamp(seconds).expect("it is not after the last one");
    moment.format(&Rfc3339).expect("RFC 3339 has every year from 0 to 9999")
}

/// Formats Unix milliseconds as in RFC 3339 §5.6: `2021-09-07T14:56:11.042Z`.
#[must_use]
pub fn rfc3339_millis(unix_millis: u64) -> String {
    let seconds = rfc3339(unix_millis / 1_000);
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), unix_millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_print_as_date_does() {
        // date -u -d @N +%FT%TZ
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_599_491_771, "2020-09-07T15:16:11Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
        assert_eq!(rfc3339_millis(951_782_400_042), "2000-02-29T00:00:00.042Z");
    }

    #[test]
    fn the_clock_runs_past_the_year_this_was_written() {
        assert!(unix_seconds() > 1_735_689_600);
    }
}
