//! Decides what a caller gets: for whom, on which relays, until when.

use std::sync::Arc;
use std::time::Duration;

use service_kit::secrets::{SecretSource, Secrets};

use crate::credential::{Credential, Subject};
use crate::pool::Pool;

/// The shortest TTL a caller may ask for, where the operator's own is not shorter.
///
/// A credential must outlive the gathering of candidates and some skew between clocks.
pub const MIN_ASKED_TTL: Duration = Duration::from_secs(60);

/// How long credentials live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// For callers who ask for nothing.
    pub default: Duration,
    /// For callers who ask for more.
    pub max: Duration,
}

impl Lifetimes {
    /// Settles what a caller gets who asked for `asked`: between a minute, or the default
    /// where that is shorter, and the maximum.
    #[must_use]
    pub fn settle(self, asked: Option<Duration>) -> Duration {
        let shortest = MIN_ASKED_TTL.min(self.default);
        asked.unwrap_or(self.default).clamp(shortest, self.max)
    }
}

/// What was issued: a credential, where it is good, and its two deadlines in Unix seconds.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Username and password.
    pub credential: Credential,
    /// The relays it is good for.
    pub pool: Arc<Pool>,
    /// When new allocations with it end.
    pub expires_at: u64,
    /// When to fetch the next one: at half of its life.
    pub refresh_at: u64,
}

/// No pool has the name a caller chose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such region; the regions are: {known}")]
pub struct UnknownRegion {
    known: String,
}

/// Issues credentials for one pool of relays.
#[derive(Clone, Debug)]
pub struct Issuer {
    secrets: SecretSource,
    pool: Arc<Pool>,
    lifetimes: Lifetimes,
}

impl Issuer {
    /// Makes an issuer; the secret is shared with the relays of the pool.
    #[must_use]
    pub fn new(secrets: SecretSource, pool: Pool, lifetimes: Lifetimes) -> Self {
        Self { secrets, pool: Arc::new(pool), lifetimes }
    }

    /// Finds the pool a caller chose, or the first one.
    ///
    /// # Errors
    /// When `region` names no pool.
    pub fn pool(&self, region: Option<&str>) -> Result<&Arc<Pool>, UnknownRegion> {
        match region {
            Some(region) if region != self.pool.region() => {
                Err(UnknownRegion { known: self.pool.region().to_owned() })
            }
            _ => Ok(&self.pool),
        }
    }

    /// Settles how long a credential lives for a caller who asked for `asked`.
    #[must_use]
    pub fn settle(&self, asked: Option<Duration>) -> Duration {
        self.lifetimes.settle(asked)
    }

    /// Issues a credential to `subject` at `now` (since 1970), with a TTL that was settled.
    #[must_use]
    pub fn issue(
        &self,
        subject: &Subject,
        pool: &Arc<Pool>,
        ttl: Duration,
        now: Duration,
    ) -> Issued {
        let (ttl, now) = (ttl.as_secs(), now.as_secs());
        let secrets = self.secrets.current();
        let pseudonym = subject.pseudonym(secrets.signing());
        Issued {
            credential: Credential::issue(secrets.signing(), &pseudonym, now + ttl),
            pool: Arc::clone(pool),
            expires_at: now + ttl,
            refresh_at: now + (ttl / 2).max(1),
        }
    }

    /// The keys in force; a cache of what was issued is good for as long as they are the same.
    pub(crate) fn keys(&self) -> Arc<Secrets> {
        self.secrets.current()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "north-star-secret-of-thirty-two-bytes";
    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn seconds(lifetimes: (u64, u64), asked: Option<u64>) -> u64 {
        let (default, max) = lifetimes;
        let lifetimes =
            Lifetimes { default: Duration::from_secs(default), max: Duration::from_secs(max) };
        lifetimes.settle(asked.map(Duration::from_secs)).as_secs()
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
    fn an_operator_may_set_less_than_a_minute() {
        assert_eq!(seconds((10, 86_400), None), 10);
        assert_eq!(seconds((10, 86_400), Some(1)), 10);
        assert_eq!(seconds((1, 1), Some(600)), 1);
    }

    #[test]
    fn a_credential_ends_after_its_ttl_and_is_renewed_at_half_of_it() {
        let secrets = SecretSource::fixed(Secrets::parse(KEY).unwrap());
        let pool = Pool::parse("default", "turn:a").unwrap();
        let lifetimes =
            Lifetimes { default: Duration::from_secs(600), max: Duration::from_secs(600) };
        let desk = Issuer::new(secrets, pool, lifetimes);
        let ana: Subject = "ana".parse().unwrap();

        let pool = desk.pool(Some("default")).unwrap();
        let issued = desk.issue(&ana, pool, desk.settle(None), NOW);
        assert_eq!((issued.expires_at, issued.refresh_at), (1_700_000_600, 1_700_000_300));
        let hidden = ana.pseudonym(KEY.as_bytes());
        assert_eq!(issued.credential.username, format!("1700000600:{hidden}"));
        let nowhere = desk.pool(Some("mars")).unwrap_err();
        assert!(nowhere.to_string().contains("the regions are: default"), "{nowhere}");
    }
}
