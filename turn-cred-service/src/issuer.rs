//! Decides what a caller gets: for whom, on which relays, until when.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use service_kit::secrets::{SecretSource, Secrets};
use signal_protocol::IceReason;
use tracing::info;

use crate::changes::Changes;
use crate::credential::{Credential, Subject};
use crate::pool::{Offer, Pools, Region, Standings};
use crate::relay_db::Decisions;

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

/// Why somebody gets no credential now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotIssued {
    /// Nothing signed now is sure to be accepted: Redis, which says so, has been away for too long.
    #[error("the keys of the relays could not be confirmed for too long")]
    KeysUnconfirmed,
    /// An operator has decided so.
    #[error("this subject is denied credentials")]
    Denied {
        /// Until when, in Unix seconds.
        until: u64,
    },
    /// The relays have relayed enough for it.
    #[error("this subject has relayed more than its budget")]
    OverBudget {
        /// Until when, in Unix seconds.
        until: u64,
    },
}

/// Issues credentials. Clones share their state.
#[derive(Clone, Debug)]
pub struct Issuer(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    keys: Keys,
    pools: Pools,
    lifetimes: Lifetimes,
    state: RwLock<Arc<State>>,
    /// Until when the signing key is sure to be accepted, in Unix seconds.
    horizon: AtomicU64,
    changes: Changes,
}

/// What is known of relays and callers.
#[derive(Clone, Debug)]
struct State {
    /// How the relays do.
    health: Standings,
    decisions: Decisions,
    /// What both make of the relays.
    standings: Standings,
}

/// What answers depend on beside the question; an answer is good for as long as it is the same.
#[derive(Clone, Debug)]
pub struct Ground {
    keys: Arc<Secrets>,
    state: Arc<State>,
}

impl PartialEq for Ground {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys) && Arc::ptr_eq(&self.state, &other.state)
    }
}

impl Issuer {
    /// Makes an issuer that believes in all relays.
    #[must_use]
    pub fn new(keys: Keys, pools: Pools, lifetimes: Lifetimes) -> Self {
        let health = Standings::healthy(&pools);
        let state = State { standings: health.clone(), health, decisions: Decisions::default() };
        let (horizon, changes) = (AtomicU64::new(u64::MAX), Changes::new());
        let state = RwLock::new(Arc::new(state));
        Self(Arc::new(Parts { keys, pools, lifetimes, state, horizon, changes }))
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
        Ground { keys: self.0.keys.signing.current(), state: self.state() }
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

    /// Returns how the relays stand, as far as callers are sent there.
    #[must_use]
    pub fn standings(&self) -> Standings {
        self.state().standings.clone()
    }

    /// Takes in how the relays do.
    pub fn set_health(&self, health: Standings) {
        self.update(|state| state.health = health);
    }

    /// Takes in what operators have decided.
    pub fn set_decisions(&self, decisions: Decisions) {
        self.update(|state| state.decisions = decisions);
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is known, and tells everybody if something that was handed out is not any more.
    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut place = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = (**place).clone();
        change(&mut next);
        next.standings = next.health.clone();
        for (number, relay) in self.0.pools.relays().enumerate() {
            if next.decisions.draining.contains(relay.name.as_str()) {
                next.standings.drain(number);
            }
        }
        let withdrawn = next.standings.withdraws(&place.standings);
        *place = Arc::new(next);
        drop(place);
        if withdrawn {
            self.0.changes.announce(IceReason::Drain);
        }
    }

    /// Takes in until when the signing key is sure to be accepted, in Unix seconds.
    pub fn set_horizon(&self, horizon: u64) {
        self.0.horizon.store(horizon, Ordering::Relaxed);
    }

    /// Issues what is asked for at `now` (since 1970). It lives shorter where the keys do.
    ///
    /// # Errors
    /// [`NotIssued`] says why not.
    pub fn issue(&self, ask: &Ask, now: Duration) -> Result<Issued, NotIssued> {
        let (now, state) = (now.as_secs(), self.state());
        let pseudonym = self.0.keys.hide(&ask.subject);
        state.decisions.admit(pseudonym.as_str(), now)?;
        let sure = self.0.horizon.load(Ordering::Relaxed).saturating_sub(now);
        let ttl = ask.ttl.as_secs().min(sure);
        if ttl == 0 {
            return Err(NotIssued::KeysUnconfirmed);
        }
        let key = ask.room.as_deref().unwrap_or(ask.subject.as_str());
        let secrets = self.0.keys.signing.current();
        Ok(Issued {
            credential: Credential::issue(secrets.signing(), &pseudonym, now + ttl),
            offer: Arc::new(self.0.pools.choose(ask.region, key, &state.standings)),
            expires_at: now + ttl,
            refresh_at: now + (ttl / 2).max(1),
        })
    }
}

impl Decisions {
    fn admit(&self, pseudonym: &str, now: u64) -> Result<(), NotIssued> {
        let bars =
            |list: &HashMap<String, u64>| list.get(pseudonym).copied().filter(|end| *end > now);
        if let Some(until) = bars(&self.denied) {
            return Err(NotIssued::Denied { until });
        }
        bars(&self.overdrawn).map_or(Ok(()), |until| Err(NotIssued::OverBudget { until }))
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
        assert_eq!(issuer.issue(&ask(&issuer), later).unwrap_err(), NotIssued::KeysUnconfirmed);
    }

    #[test]
    fn who_is_denied_or_over_budget_is_told_until_when() {
        let issuer = issuer(None);
        let hidden = "ana".parse::<Subject>().unwrap().pseudonym(KEY.as_bytes()).to_string();
        let until = NOW.as_secs() + 10;
        let overdrawn = HashMap::from([(hidden.clone(), until)]);
        issuer.set_decisions(Decisions { overdrawn: overdrawn.clone(), ..Decisions::default() });
        let refused = |later| issuer.issue(&ask(&issuer), NOW + Duration::from_secs(later)).err();
        assert_eq!(refused(9), Some(NotIssued::OverBudget { until }));
        assert_eq!(refused(10), None);
        let denied = HashMap::from([(hidden, until)]);
        issuer.set_decisions(Decisions { denied, overdrawn, ..Decisions::default() });
        assert_eq!(refused(9), Some(NotIssued::Denied { until }));
    }

    #[test]
    fn a_relay_that_is_emptied_is_left_out_and_everybody_is_told_once() {
        let issuer = issuer(None);
        let changes = issuer.changes().subscribe();
        let draining = ["default".to_owned()].into();
        let decisions = Decisions { draining, ..Decisions::default() };
        issuer.set_decisions(decisions.clone());
        let told = changes.borrow().number;
        assert!(issuer.issue(&ask(&issuer), NOW).unwrap().offer.degraded, "it is the only one");
        assert_eq!(changes.borrow().reason, IceReason::Drain);
        issuer.set_decisions(decisions);
        assert_eq!(changes.borrow().number, told);
        issuer.set_decisions(Decisions::default());
        assert!(!issuer.issue(&ask(&issuer), NOW).unwrap().offer.degraded);
    }
}
