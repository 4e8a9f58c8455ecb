//! Issues credentials: checks denials, clamps the TTL, selects the relays, signs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use service_kit::secrets::{SecretSource, Secrets};
use signal_protocol::IceReason;
use tracing::info;

use crate::change_notifier::ChangeNotifier;
use crate::credential::{Credential, CredentialOwner, Pseudonym, Subject};
use crate::pool::{Pools, Region, RelaySelection, Standings};
use crate::relay_db::Decisions;
use crate::ttl::TtlSettings;

/// Interval at which [`Issuer::watch_keys`] compares the keys with the previous ones.
const KEY_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The secret shared with the relays, and the key of the pseudonyms.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Shared with the relays; the first key signs.
    pub signing: SecretSource,
    /// Keys the pseudonyms. Without it `signing` does, and each rotation gives every user a new
    /// name at the relays, with a fresh quota.
    pub pseudonyms: Option<SecretSource>,
}

impl Keys {
    /// Returns the pseudonym of a subject under the current key.
    #[must_use]
    pub fn pseudonym_of(&self, subject: &Subject) -> Pseudonym {
        let source = self.pseudonyms.as_ref().unwrap_or(&self.signing);
        Pseudonym::of(subject, source.current().signing())
    }

    fn pseudonym_of_owner(&self, owner: &CredentialOwner) -> Pseudonym {
        match owner {
            CredentialOwner::Subject(subject) => self.pseudonym_of(subject),
            CredentialOwner::Network(network) => {
                let source = self.pseudonyms.as_ref().unwrap_or(&self.signing);
                Pseudonym::of_network(*network, source.current().signing())
            }
        }
    }
}

/// A validated request: region resolved, TTL clamped. Equal requests may share one cached answer.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialRequest {
    pub owner: CredentialOwner,
    /// Selects the relay, so that both ends of a call get the same one.
    pub room: Option<String>,
    pub region: Region,
    pub ttl: Duration,
}

/// A signed credential with the relays that accept it.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct IssuedCredential {
    pub credential: Credential,
    pub selection: Arc<RelaySelection>,
    /// Expiry in Unix seconds: relays refuse new allocations from then on, and keep existing ones.
    pub expires_at: u64,
    /// When to fetch the next credential, in Unix seconds: at half of the TTL.
    pub refresh_at: u64,
}

/// Reasons to issue no credential. `until` is in Unix seconds.
#[expect(missing_docs, reason = "the error texts say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Redis has been unreachable for longer than [`Issuer::set_accepted_until`] allows: the
    /// signing key may have been rotated out meanwhile.
    #[error("the signing key could not be confirmed in Redis for too long")]
    KeysUnconfirmed,
    #[error("this subject is denied credentials")]
    Denied { until: u64 },
    #[error("this subject has relayed more than its budget")]
    OverBudget { until: u64 },
}

/// Issues credentials. Clones share their state.
#[derive(Clone, Debug)]
pub struct Issuer(Arc<IssuerShared>);

#[derive(Debug)]
struct IssuerShared {
    keys: Keys,
    pools: Pools,
    ttl_settings: TtlSettings,
    state: RwLock<Arc<IssuerState>>,
    /// Unix time until which the relays are certain to accept the signing key; set by
    /// `SecretRotator`. A credential must not outlive it, because a service that cannot read the
    /// ledger does not learn that its key was retired.
    accepted_until: AtomicU64,
    changes: ChangeNotifier,
}

/// The latest reports of the health probes and the operators.
#[derive(Clone, Debug)]
struct IssuerState {
    /// As probed, without the operators' drains.
    health: Standings,
    decisions: Decisions,
    /// `health` with the drained relays of `decisions` marked: what callers are sent to.
    standings: Standings,
}

/// Identity of the keys and relay states that an answer was computed from. A cached answer is valid
/// while the snapshot compares equal.
#[derive(Clone, Debug)]
pub struct IssuerSnapshot {
    keys: Arc<Secrets>,
    state: Arc<IssuerState>,
}

impl PartialEq for IssuerSnapshot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys) && Arc::ptr_eq(&self.state, &other.state)
    }
}

impl Issuer {
    /// Creates an issuer that considers every relay healthy until the first probe.
    #[must_use]
    pub fn new(keys: Keys, pools: Pools, ttl_settings: TtlSettings) -> Self {
        let health = Standings::healthy(&pools);
        let state =
            IssuerState { standings: health.clone(), health, decisions: Decisions::default() };
        let (accepted_until, changes) = (AtomicU64::new(u64::MAX), ChangeNotifier::new());
        let state = RwLock::new(Arc::new(state));
        Self(Arc::new(IssuerShared { keys, pools, ttl_settings, state, accepted_until, changes }))
    }

    /// The relays to select from.
    #[must_use]
    pub fn pools(&self) -> &Pools {
        &self.0.pools
    }

    /// The keys to sign with.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Notifies nodes of new keys and withdrawn relays.
    #[must_use]
    pub fn changes(&self) -> &ChangeNotifier {
        &self.0.changes
    }

    /// Clamps a requested TTL to the configured bounds.
    #[must_use]
    pub fn clamp_ttl(&self, requested: Option<Duration>) -> Duration {
        self.0.ttl_settings.clamp_ttl(requested)
    }

    /// Clamps a requested TTL to the configured bounds, and to the end of the token it is requested with.
    #[must_use]
    pub fn clamp_ttl_to_token(
        &self,
        requested: Option<Duration>,
        token_ends: Option<u64>,
        now: Duration,
    ) -> Duration {
        self.0.ttl_settings.clamp_to_token(requested, token_ends, now)
    }

    /// Returns the identity of the keys and relay states in force now.
    #[must_use]
    pub fn snapshot(&self) -> IssuerSnapshot {
        IssuerSnapshot { keys: self.0.keys.signing.current(), state: self.state() }
    }

    /// Announces changed keys, whether they came from a file or from a rotation, until the future
    /// is dropped.
    pub async fn watch_keys(&self) {
        let mut known = self.0.keys.signing.current();
        loop {
            tokio::time::sleep(KEY_CHECK_INTERVAL).await;
            let current = self.0.keys.signing.current();
            if !Arc::ptr_eq(&known, &current) {
                info!("the keys shared with the relays have changed");
                self.0.changes.notify(IceReason::Rotate);
                known = current;
            }
        }
    }

    /// Returns the health of the relays, with drained ones marked.
    #[must_use]
    pub fn standings(&self) -> Standings {
        self.state().standings.clone()
    }

    /// Replaces the probed health of the relays.
    pub fn set_health(&self, health: Standings) {
        self.update(|state| state.health = health);
    }

    /// Replaces the operators' decisions.
    pub fn set_decisions(&self, decisions: Decisions) {
        self.update(|state| state.decisions = decisions);
    }

    fn state(&self) -> Arc<IssuerState> {
        Arc::clone(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Updates the state, and announces a drain if a URL that was offered no longer is.
    fn update(&self, change: impl FnOnce(&mut IssuerState)) {
        let mut shared_state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = (**shared_state).clone();
        change(&mut next);
        next.standings = next.health.clone();
        for (number, relay) in self.0.pools.relays().enumerate() {
            if next.decisions.draining.contains(relay.name.as_str()) {
                next.standings.set_draining(number);
            }
        }
        let withdrawn = next.standings.has_withdrawn_since(&shared_state.standings);
        *shared_state = Arc::new(next);
        drop(shared_state);
        if withdrawn {
            self.0.changes.notify(IceReason::Drain);
        }
    }

    /// Sets the Unix time until which the relays are certain to accept the signing key.
    pub fn set_accepted_until(&self, accepted_until: u64) {
        self.0.accepted_until.store(accepted_until, Ordering::Relaxed);
    }

    /// Issues a credential at `now` (since 1970). Its TTL is cut to the time until which the
    /// signing key is certain to be accepted.
    ///
    /// # Errors
    /// [`IssueError`]; a denial is checked first, so that a denied subject learns nothing about the
    /// keys.
    pub fn issue(
        &self,
        request: &CredentialRequest,
        now: Duration,
    ) -> Result<IssuedCredential, IssueError> {
        let (now, state) = (now.as_secs(), self.state());
        let pseudonym = self.0.keys.pseudonym_of_owner(&request.owner);
        state.decisions.check(pseudonym.as_str(), now)?;
        let remaining = self.0.accepted_until.load(Ordering::Relaxed).saturating_sub(now);
        let ttl = request.ttl.as_secs().min(remaining);
        if ttl == 0 {
            return Err(IssueError::KeysUnconfirmed);
        }
        let own = match &request.owner {
            CredentialOwner::Subject(subject) => subject.as_str(),
            CredentialOwner::Network(_) => pseudonym.as_str(),
        };
        let key = request.room.as_deref().unwrap_or(own);
        let secrets = self.0.keys.signing.current();
        Ok(IssuedCredential {
            credential: Credential::issue(secrets.signing(), &pseudonym, now + ttl),
            selection: Arc::new(self.0.pools.select(request.region, key, &state.standings)),
            expires_at: now + ttl,
            refresh_at: now + (ttl / 2).max(1),
        })
    }
}

impl Decisions {
    fn check(&self, pseudonym: &str, now: u64) -> Result<(), IssueError> {
        let active_until =
            |list: &HashMap<String, u64>| list.get(pseudonym).copied().filter(|end| *end > now);
        if let Some(until) = active_until(&self.denied) {
            return Err(IssueError::Denied { until });
        }
        active_until(&self.over_budget)
            .map_or(Ok(()), |until| Err(IssueError::OverBudget { until }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    const KEY: &str = "north-star-secret-of-thirty-two-bytes";
    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn issuer(pseudonyms: Option<&str>) -> Issuer {
        let source = |text| SecretSource::fixed(Secrets::parse(text).unwrap());
        let keys = Keys { signing: source(KEY), pseudonyms: pseudonyms.map(source) };
        let pool = Pool::parse(&"default".parse().unwrap(), "turn:a").unwrap();
        let ttl_settings =
            TtlSettings { default: Duration::from_secs(600), max: Duration::from_secs(600) };
        Issuer::new(keys, Pools::new(vec![pool]), ttl_settings)
    }

    fn request(issuer: &Issuer) -> CredentialRequest {
        let region = issuer.pools().region(None, None).unwrap();
        let ttl = issuer.clamp_ttl(None);
        let owner = CredentialOwner::Subject("ana".parse().unwrap());
        CredentialRequest { owner, room: None, region, ttl }
    }

    #[test]
    fn a_credential_ends_after_its_ttl_and_is_renewed_at_half_of_it() {
        let issuer = issuer(None);
        let answer = issuer.issue(&request(&issuer), NOW).unwrap();
        assert_eq!((answer.expires_at, answer.refresh_at), (1_700_000_600, 1_700_000_300));
        let hidden = Pseudonym::of(&"ana".parse().unwrap(), KEY.as_bytes());
        assert_eq!(answer.credential.username, format!("1700000600:{hidden}"));
    }

    #[test]
    fn a_key_of_its_own_hides_subjects_where_there_is_one() {
        const OTHER: &str = "another-key-of-thirty-two-bytes-at-least";
        let issuer = issuer(Some(OTHER));
        let answer = issuer.issue(&request(&issuer), NOW).unwrap();
        let hidden = Pseudonym::of(&"ana".parse().unwrap(), OTHER.as_bytes());
        assert_eq!(answer.credential.username, format!("1700000600:{hidden}"));
    }

    #[test]
    fn a_credential_ends_before_its_key_may_and_is_refused_after_that() {
        let issuer = issuer(None);
        issuer.set_accepted_until(1_700_000_020);
        assert_eq!(issuer.issue(&request(&issuer), NOW).unwrap().expires_at, 1_700_000_020);
        let later = NOW + Duration::from_secs(20);
        assert_eq!(
            issuer.issue(&request(&issuer), later).unwrap_err(),
            IssueError::KeysUnconfirmed
        );
    }

    #[test]
    fn a_denied_or_over_budget_subject_gets_the_end_of_the_denial() {
        let issuer = issuer(None);
        let hidden = Pseudonym::of(&"ana".parse().unwrap(), KEY.as_bytes()).to_string();
        let until = NOW.as_secs() + 10;
        let over_budget = HashMap::from([(hidden.clone(), until)]);
        issuer
            .set_decisions(Decisions { over_budget: over_budget.clone(), ..Decisions::default() });
        let refused =
            |later| issuer.issue(&request(&issuer), NOW + Duration::from_secs(later)).err();
        assert_eq!(refused(9), Some(IssueError::OverBudget { until }));
        assert_eq!(refused(10), None);
        let denied = HashMap::from([(hidden, until)]);
        issuer.set_decisions(Decisions { denied, over_budget, ..Decisions::default() });
        assert_eq!(refused(9), Some(IssueError::Denied { until }));
    }

    #[test]
    fn a_draining_relay_is_left_out_and_announced_once() {
        let issuer = issuer(None);
        let changes = issuer.changes().subscribe();
        let draining = ["default".to_owned()].into();
        let decisions = Decisions { draining, ..Decisions::default() };
        issuer.set_decisions(decisions.clone());
        let number = changes.borrow().number;
        assert!(
            issuer.issue(&request(&issuer), NOW).unwrap().selection.degraded,
            "it is the only one"
        );
        assert_eq!(changes.borrow().reason, IceReason::Drain);
        issuer.set_decisions(decisions);
        assert_eq!(changes.borrow().number, number);
        issuer.set_decisions(Decisions::default());
        assert!(!issuer.issue(&request(&issuer), NOW).unwrap().selection.degraded);
    }
}
