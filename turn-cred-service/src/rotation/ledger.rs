//! The rotation ledger of a realm: which secret signs, which is staged, which are retiring. A pure
//! state machine; time is an argument.
//!
//! The secrets themselves are members of the set that the relays read; the ledger names them by
//! fingerprint. Each step of a rotation is one new version of the ledger, so an instance that takes
//! over after a crash continues at the step that was written last.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bound on the delay until every instance has read a new ledger.
pub const PROPAGATION: Duration = Duration::from_secs(10);

/// The same bound in an emergency. An instance that takes longer hands out credentials that relays
/// refuse, which is the lesser harm once a secret has leaked.
pub const EMERGENCY_PROPAGATION: Duration = Duration::from_secs(3);

/// Pause before the schedule tries again after a relay rejected the staged secret.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Identifies a secret in logs and in the ledger without revealing it: the first 64 bits of its
/// SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Names a secret.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        let hash = Sha256::digest(secret.as_bytes());
        let start: [u8; 8] = hash[..8].try_into().expect("a hash has 32 bytes");
        Self(format!("{:016x}", u64::from_be_bytes(start)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A rotation requested by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationRequest {
    /// Waits until everything the old secret signed has expired; clients notice nothing.
    Rotation,
    /// For a leaked secret: removes the old ones as soon as the new one signs.
    Emergency,
}

/// A secret that no longer signs, and that relays accept until everything it signed has expired.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiringSecret {
    pub secret: Fingerprint,
    /// Unix seconds by the clock of Redis.
    pub until: u64,
}

/// The state of a realm's secrets. Times are Unix seconds by the clock of Redis, the one clock that
/// all instances share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Rises by one per change; [`RelayDb::commit`](crate::relay_db::RelayDb::commit) compares it,
    /// so of two writers one wins.
    pub version: u64,
    /// The secret that signs.
    pub signing: Fingerprint,
    /// When `signing` began to sign.
    pub since: u64,
    /// A secret that is in the set and does not sign yet: the relays may not have accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Fingerprint>,
    /// Secrets that do not sign any more.
    #[serde(default)]
    pub retiring: Vec<RetiringSecret>,
    /// An operator's request that is not carried out yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RotationRequest>,
    /// When a relay last rejected a staged secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
}

/// The parameters of rotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    /// How long a secret signs; `None` rotates on request only.
    pub every: Option<Duration>,
    /// Longest TTL of a credential.
    pub max_ttl: Duration,
    /// Largest expected difference between the clocks.
    pub skew: Duration,
}

/// The next action that a ledger calls for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Add a new secret to the set of the relays.
    Stage,
    /// Allocate with the staged secret on every relay, then let it sign.
    Prove(Fingerprint),
    /// Remove a secret from the set: everything it signed has expired.
    Retire(Fingerprint),
    /// Do nothing, for at most this long.
    Wait(Duration),
}

impl Ledger {
    /// Creates the ledger of a realm whose secret is already in use.
    #[must_use]
    pub fn starting_with(signing: Fingerprint, now: u64) -> Self {
        Self {
            version: 1,
            signing,
            since: now,
            staged: None,
            retiring: Vec::new(),
            request: None,
            failed: None,
        }
    }

    /// Every secret that the relays must accept.
    pub fn secrets(&self) -> impl Iterator<Item = &Fingerprint> {
        let retiring = self.retiring.iter().map(|retiring| &retiring.secret);
        [&self.signing].into_iter().chain(&self.staged).chain(retiring)
    }

    /// Returns the next action at `now`.
    ///
    /// Retiring comes first: proving can fail for as long as no relay answers, and a leaked secret
    /// must leave the set on time all the same.
    #[must_use]
    pub fn next_step(&self, policy: &RotationPolicy, now: u64) -> RotationStep {
        if let Some(over) = self.retiring.iter().find(|retiring| retiring.until <= now) {
            return RotationStep::Retire(over.secret.clone());
        }
        if let Some(staged) = &self.staged {
            return RotationStep::Prove(staged.clone());
        }
        match self.next_rotation_at(policy) {
            Some(due) if due <= now => RotationStep::Stage,
            due => {
                let ends = self.retiring.iter().map(|retiring| retiring.until);
                let next = ends.chain(due).min().unwrap_or(u64::MAX);
                RotationStep::Wait(Duration::from_secs(next - now))
            }
        }
    }

    fn next_rotation_at(&self, policy: &RotationPolicy) -> Option<u64> {
        let scheduled = policy.every.map(|every| self.since + every.as_secs());
        let due = if self.request.is_some() { Some(0) } else { scheduled };
        due.map(|due| {
            due.max(self.failed.map_or(0, |failed| failed + RETRY_AFTER_FAILURE.as_secs()))
        })
    }

    fn next_version(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }

    /// Records an operator's request. It clears `failed`, so that the request is not delayed by an
    /// earlier rejection.
    #[must_use]
    pub fn with_request(&self, request: RotationRequest) -> Self {
        Self { request: Some(request), failed: None, ..self.next_version() }
    }

    /// Records a secret that has been added to the set.
    #[must_use]
    pub fn with_staged(&self, secret: Fingerprint) -> Self {
        Self { staged: Some(secret), ..self.next_version() }
    }

    /// Makes the staged secret sign from `now` on. The previous one retires after `max_ttl + skew +
    /// PROPAGATION`: an instance that has not read this ledger yet may sign with it for another
    /// [`PROPAGATION`], for `max_ttl`, checked against a relay's clock that is `skew` behind.
    ///
    /// In an emergency every retiring secret, also that of an earlier rotation, ends after
    /// [`EMERGENCY_PROPAGATION`]: any of them may be the leaked one.
    #[must_use]
    pub fn promote_staged(&self, policy: &RotationPolicy, now: u64) -> Self {
        let Some(staged) = self.staged.clone() else { return self.clone() };
        let mut next = Self { staged: None, request: None, failed: None, ..self.next_version() };
        let old = std::mem::replace(&mut next.signing, staged);
        next.since = now;
        let life = policy.max_ttl + policy.skew + PROPAGATION;
        next.retiring.push(RetiringSecret { secret: old, until: now + life.as_secs() });
        if self.request == Some(RotationRequest::Emergency) {
            let end = now + EMERGENCY_PROPAGATION.as_secs();
            next.retiring.iter_mut().for_each(|retiring| retiring.until = retiring.until.min(end));
        }
        next
    }

    /// Drops a staged secret that a relay rejected.
    #[must_use]
    pub fn abandon_staged(&self, now: u64) -> Self {
        Self { staged: None, request: None, failed: Some(now), ..self.next_version() }
    }

    /// Forgets a secret that has left the set.
    #[must_use]
    pub fn without_retired(&self, secret: &Fingerprint) -> Self {
        let mut next = self.next_version();
        next.retiring.retain(|retiring| retiring.secret != *secret);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const POLICY: RotationPolicy = RotationPolicy {
        every: Some(Duration::from_secs(100)),
        max_ttl: Duration::from_secs(600),
        skew: Duration::from_secs(30),
    };

    fn secret(number: u32) -> Fingerprint {
        Fingerprint::of(&format!("secret {number}"))
    }

    #[test]
    fn a_rotation_goes_step_by_step_and_retires_when_all_that_was_signed_has_ended() {
        let ledger = Ledger::starting_with(secret(1), 1000);
        assert_eq!(ledger.next_step(&POLICY, 1040), RotationStep::Wait(Duration::from_secs(60)));
        assert_eq!(ledger.next_step(&POLICY, 1100), RotationStep::Stage);
        let ledger = ledger.with_staged(secret(2));
        assert_eq!(ledger.next_step(&POLICY, 1101), RotationStep::Prove(secret(2)));
        assert_eq!(ledger.signing, secret(1), "it does not sign before it is proved");
        let ledger = ledger.promote_staged(&POLICY, 1102);
        assert_eq!((&ledger.signing, ledger.version), (&secret(2), 3));
        let unasked = RotationPolicy { every: None, ..POLICY };
        assert_eq!(ledger.next_step(&unasked, 1102), RotationStep::Wait(Duration::from_secs(640)));
        assert_eq!(ledger.next_step(&unasked, 1742), RotationStep::Retire(secret(1)));
        let ledger = ledger.without_retired(&secret(1));
        assert_eq!(
            ledger.next_step(&unasked, 1742),
            RotationStep::Wait(Duration::from_secs(u64::MAX - 1742))
        );
    }

    #[test]
    fn rotations_may_overlap() {
        let mut ledger = Ledger::starting_with(secret(1), 0);
        for number in 2..5 {
            let now = u64::from(number) * 100;
            assert_eq!(ledger.next_step(&POLICY, now), RotationStep::Stage);
            ledger = ledger.with_staged(secret(number)).promote_staged(&POLICY, now);
        }
        let retiring: Vec<_> = ledger.retiring.iter().map(|retiring| retiring.until).collect();
        assert_eq!(retiring, [840, 940, 1040]);
    }

    #[test]
    fn an_emergency_ends_every_old_secret_as_soon_as_others_have_heard() {
        let ledger =
            Ledger::starting_with(secret(1), 0).with_staged(secret(2)).promote_staged(&POLICY, 10);
        let ledger = ledger.with_request(RotationRequest::Emergency);
        assert_eq!(ledger.next_step(&POLICY, 11), RotationStep::Stage);
        let ledger = ledger.with_staged(secret(3)).promote_staged(&POLICY, 12);
        assert!(ledger.retiring.iter().all(|retiring| retiring.until == 15), "{ledger:?}");
        assert_eq!(ledger.request, None);
    }

    #[test]
    fn a_refused_secret_is_given_up_and_the_schedule_pauses_but_a_request_does_not() {
        let ledger = Ledger::starting_with(secret(1), 0).with_staged(secret(2)).abandon_staged(200);
        assert_eq!(ledger.signing, secret(1));
        assert_eq!(ledger.next_step(&POLICY, 230), RotationStep::Wait(Duration::from_secs(30)));
        assert_eq!(ledger.next_step(&POLICY, 260), RotationStep::Stage);
        assert_eq!(
            ledger.with_request(RotationRequest::Rotation).next_step(&POLICY, 201),
            RotationStep::Stage
        );
    }

    proptest! {
        /// Relays accept every unexpired credential, for any sequence of rotations, emergencies and
        /// failures, and with instances that read the ledger as late as allowed.
        #[test]
        fn every_signed_credential_is_accepted_until_its_end(
            events in proptest::collection::vec((1_u64..400, 0_u8..4), 1..60),
        ) {
            let mut ledger = Ledger::starting_with(secret(0), 0);
            let mut set = HashSet::from([secret(0)]);
            let (mut now, mut number, mut signed) = (0, 0, Vec::new());
            for (pause, event) in events {
                // The latest moment at which an instance may still sign with the previous secret.
                let heard = now + PROPAGATION.as_secs();
                signed.push((ledger.signing.clone(), heard + POLICY.max_ttl.as_secs()));
                now += pause;
                if event == 0 {
                    ledger = ledger.with_request(RotationRequest::Rotation);
                }
                match ledger.next_step(&POLICY, now) {
                    RotationStep::Stage => {
                        number += 1;
                        set.insert(secret(number));
                        ledger = ledger.with_staged(secret(number));
                    }
                    RotationStep::Prove(staged) if event == 1 => {
                        set.remove(&staged);
                        ledger = ledger.abandon_staged(now);
                    }
                    RotationStep::Prove(_) => ledger = ledger.promote_staged(&POLICY, now),
                    RotationStep::Retire(old) => {
                        set.remove(&old);
                        ledger = ledger.without_retired(&old);
                    }
                    RotationStep::Wait(_) => {}
                }
                prop_assert!(set.contains(&ledger.signing));
                for (secret, end) in &signed {
                    prop_assert!(*end < now || set.contains(secret), "{secret} at {now}");
                }
            }
        }
    }
}
