//! Decides what a caller gets: for whom, on which relays, until when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use service_kit::secrets::{SecretSource, Secrets};
use signal_protocol::IceReason;
use tracing::info;

use crate::changes::Changes;
use crate::credential::{Credential, Subject};
use crate::pool::{Offer, Pools, Region, Standings};

/// The shortest TTL a caller may ask for, where the operator's own is not shorter.
///
/// A credential must outlive the gathering of candidates and some skew between clocks.
pub const MIN_ASKED_TTL: Duration = Duration::from_secs(60);

/// How often keys are compared with those before.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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

/// The keys of an issuer.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Shared with the relays; the first one signs.
    pub signing: SecretSource,
    /// Hides subjects. Without one the signing key does, and a rotation gives everybody a new name
    /// at the relays.
    pub pseudonyms: Option<SecretSource>,
}

impl Keys {
    /// Hides a subject behind its pseudonym.
    #[must_use]
    pub fn hide(&self, subject: &Subject) -> Subject {
        let source = self.pseudonyms.as_ref().unwrap_or(&self.signing);
        subject.pseudonym(source.current().signing())
    }
}

/// What a caller asks for, settled; equal ones may be answered alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// For whom.
    pub subject: Subject,
    /// The room, where both ends of a call should meet on one relay.
    pub room: Option<String>,
    /// Where.
    pub region: Region,
    /// For how long.
    pub ttl: Duration,
}

/// What was issued: a credential, where it is good, and its two deadlines in Unix seconds.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Username and password.
    pub credential: Credential,
    /// The relays it is good for.
    pub offer: Arc<Offer>,
    /// When new allocations with it end.
    pub expires_at: u64,
    /// When to fetch the next one: at half of its life.
    pub refresh_at: u64,
}

/// The keys may be retired before a credential signed with them would end: Redis, which says so, has
/// been away for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keys of the relays could not be confirmed for too long")]
pub struct KeysUnconfirmed;

/// Issues credentials. Clones share their state.
#[derive(Clone, Debug)]
pub struct Issuer(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    keys: Keys,
    pools: Pools,
    lifetimes: Lifetimes,
    standings: RwLock<Arc<Standings>>,
    /// Until when the signing key is sure to be accepted, in Unix seconds.
    horizon: AtomicU64,
    changes: Changes,
}

/// What answers depend on beside the question; an answer is good for as long as it is the same.
#[derive(Clone, Debug)]
pub struct Ground {
    keys: Arc<Secrets>,
    standings: Arc<Standings>,
}

impl PartialEq for Ground {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys) && Arc::ptr_eq(&self.standings, &other.standings)
    }
}

impl Issuer {
    /// Makes an issuer that believes in all relays.
    #[must_use]
    pub fn new(keys: Keys, pools: Pools, lifetimes: Lifetimes) -> Self {
        let standings = RwLock::new(Arc::new(Standings::healthy(&pools)));
        let (horizon, changes) = (AtomicU64::new(u64::MAX), Changes::new());
        Self(Arc::new(Parts { keys, pools, lifetimes, standings, horizon, changes }))
    }

    /// The relays.
    #[must_use]
    pub fn pools(&self) -> &Pools {
        &self.0.pools
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Where changes are announced.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.0.changes
    }

    /// Settles how long a credential lives for a caller who asked for `asked`.
    #[must_use]
    pub fn settle(&self, asked: Option<Duration>) -> Duration {
        self.0.lifetimes.settle(asked)
    }

    /// Returns what the answers given now depend on.
    #[must_use]
    pub fn ground(&self) -> Ground {
        Ground { keys: self.0.keys.signing.current(), standings: self.standings() }
    }

    /// Announces other keys, however they came, until dropped.
    pub async fn follow_keys(&self) {
        let mut known = self.0.keys.signing.current();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let current = self.0.keys.signing.current();
            if !Arc::ptr_eq(&known, &current) {
                info!("the keys of the relays have changed");
                self.0.changes.announce(IceReason::Rotate);
                known = current;
            }
        }
    }

    /// Returns how the relays do, as last told.
    #[must_use]
    pub fn standings(&self) -> Arc<Standings> {
        Arc::clone(&self.0.standings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in how the relays do.
    pub fn set_standings(&self, standings: Standings) {
        *self.0.standings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(standings);
    }

    /// Takes in until when the signing key is sure to be accepted, in Unix seconds.
    pub fn set_horizon(&self, horizon: u64) {
        self.0.horizon.store(horizon, Ordering::Relaxed);
    }

    /// Issues what is asked for at `now` (since 1970). It lives shorter where the keys do.
    ///
    /// # Errors
    /// When nothing signed now is sure to be accepted.
    pub fn issue(&self, ask: &Ask, now: Duration) -> Result<Issued, KeysUnconfirmed> {
        let now = now.as_secs();
        let sure = self.0.horizon.load(Ordering::Relaxed).saturating_sub(now);
        let ttl = ask.ttl.as_secs().min(sure);
        if ttl == 0 {
            return Err(KeysUnconfirmed);
        }
        let pseudonym = self.0.keys.hide(&ask.subject);
        let secrets = self.0.keys.signing.current();
        Ok(Issued {
            credential: Credential::issue(secrets.signing(), &pseudonym, now + ttl),
            offer: Arc::new(self.offer(ask)),
            expires_at: now + ttl,
            refresh_at: now + (ttl / 2).max(1),
        })
    }

    fn offer(&self, ask: &Ask) -> Offer {
        let subject = ask.subject.to_string();
        let key = ask.room.as_ref().unwrap_or(&subject);
        self.0.pools.choose(ask.region, key, &self.standings())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

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

    fn issuer(pseudonyms: Option<&str>) -> Issuer {
        let source = |text| SecretSource::fixed(Secrets::parse(text).unwrap());
        let keys = Keys { signing: source(KEY), pseudonyms: pseudonyms.map(source) };
        let pool = Pool::parse(&"default".parse().unwrap(), "turn:a").unwrap();
        let lifetimes =
            Lifetimes { default: Duration::from_secs(600), max: Duration::from_secs(600) };
        Issuer::new(keys, Pools::new(vec![pool]), lifetimes)
    }

    fn ask(issuer: &Issuer) -> Ask {
        let region = issuer.pools().region(None, None).unwrap();
        let ttl = issuer.settle(None);
        Ask { subject: "ana".parse().unwrap(), room: None, region, ttl }
    }

    #[test]
    fn a_credential_ends_after_its_ttl_and_is_renewed_at_half_of_it() {
        let issuer = issuer(None);
        let answer = issuer.issue(&ask(&issuer), NOW).unwrap();
        assert_eq!((answer.expires_at, answer.refresh_at), (1_700_000_600, 1_700_000_300));
        let hidden = "ana".parse::<Subject>().unwrap().pseudonym(KEY.as_bytes());
        assert_eq!(answer.credential.username, format!("1700000600:{hidden}"));
    }

    #[test]
    fn a_key_of_its_own_hides_subjects_where_there_is_one() {
        const OTHER: &str = "another-key-of-thirty-two-bytes-at-least";
        let issuer = issuer(Some(OTHER));
        let answer = issuer.issue(&ask(&issuer), NOW).unwrap();
        let hidden = "ana".parse::<Subject>().unwrap().pseudonym(OTHER.as_bytes());
        assert_eq!(answer.credential.username, format!("1700000600:{hidden}"));
    }

    #[test]
    fn a_credential_ends_before_its_key_may_and_is_refused_after_that() {
        let issuer = issuer(None);
        issuer.set_horizon(1_700_000_020);
        assert_eq!(issuer.issue(&ask(&issuer), NOW).unwrap().expires_at, 1_700_000_020);
        let later = NOW + Duration::from_secs(20);
        assert_eq!(issuer.issue(&ask(&issuer), later).unwrap_err(), KeysUnconfirmed);
    }
}
