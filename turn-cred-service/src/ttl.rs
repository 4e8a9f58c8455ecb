//! How long credentials live.

use std::time::Duration;

/// The shortest TTL a caller can request, unless the operator's default is shorter.
///
/// A credential must outlive candidate gathering plus the skew between the clocks.
pub const MIN_REQUESTED_TTL: Duration = Duration::from_secs(60);

/// Default and maximum TTL of a credential.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlSettings {
    pub default: Duration,
    pub max: Duration,
}

impl TtlSettings {
    /// Returns the TTL for a requested one: at most `max`, at least the shorter of a minute and
    /// `default`.
    #[must_use]
    pub fn clamp_ttl(self, requested: Option<Duration>) -> Duration {
        let shortest = MIN_REQUESTED_TTL.min(self.default);
        requested.unwrap_or(self.default).clamp(shortest, self.max)
    }

    /// Clamps like [`TtlSettings::clamp_ttl`], and to the end of the token, in Unix seconds.
    #[must_use]
    pub fn clamp_to_token(
        self,
        requested: Option<Duration>,
        token_ends: Option<u64>,
        now: Duration,
    ) -> Duration {
        let ttl = self.clamp_ttl(requested);
        // A token within its leeway has ended: a second is the least that is no error.
        let left = |end: u64| end.saturating_sub(now.as_secs()).max(1);
        token_ends.map_or(ttl, |end| ttl.min(Duration::from_secs(left(end))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(ttl_settings: (u64, u64), requested: Option<u64>) -> u64 {
        let (default, max) = ttl_settings;
        let ttl_settings =
            TtlSettings { default: Duration::from_secs(default), max: Duration::from_secs(max) };
        ttl_settings.clamp_ttl(requested.map(Duration::from_secs)).as_secs()
    }

    #[test]
    fn a_caller_may_ask_for_less_and_never_for_more_than_the_maximum() {
        let usual = (600, 86_400);
        assert_eq!(seconds(usual, None), 600);
        assert_eq!(seconds(usual, Some(120)), 120);
        assert_eq!(seconds(usual, Some(0)), 60);
        assert_eq!(seconds(usual, Some(3600)), 3600);
        assert_eq!(seconds(usual, Some(u64::MAX)), 86_400);
    }

    #[test]
    fn no_credential_outlives_the_token_it_is_issued_for() {
        const NOW: Duration = Duration::from_secs(1_700_000_000);
        let usual = Duration::from_secs(600);
        let settings = TtlSettings { default: usual, max: usual };
        let ttl = |requested: Option<u64>, token_ends: Option<u64>| {
            let requested = requested.map(Duration::from_secs);
            settings.clamp_to_token(requested, token_ends, NOW).as_secs()
        };
        assert_eq!(ttl(None, None), 600);
        assert_eq!(ttl(None, Some(NOW.as_secs() + 120)), 120);
        assert_eq!(ttl(Some(86_400), Some(NOW.as_secs() + 7)), 7);
        assert_eq!(ttl(Some(60), Some(NOW.as_secs() + 120)), 60);
        assert_eq!(ttl(None, Some(NOW.as_secs() - 10)), 1, "within the leeway");
    }

    #[test]
    fn an_operator_may_set_less_than_a_minute() {
        assert_eq!(seconds((10, 86_400), None), 10);
        assert_eq!(seconds((10, 86_400), Some(1)), 10);
        assert_eq!(seconds((1, 1), Some(600)), 1);
    }
}
