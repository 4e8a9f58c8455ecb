//! Caches issued credentials per request until they are due for renewal.
//!
//! A node asks once per member and again on every reconnect. With the same answer for half a TTL, a
//! reconnect storm costs one lookup per member instead of one HMAC and one relay selection.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::issuer::{CredentialRequest, IssuedCredential, IssuerSnapshot};

/// About 10 MB.
const MAX_ENTRIES: usize = 20_000;

/// A bounded cache, valid for one [`IssuerSnapshot`].
#[derive(Debug, Default)]
pub(super) struct CredentialCache(Mutex<CacheState>);

#[derive(Debug, Default)]
struct CacheState {
    snapshot: Option<IssuerSnapshot>,
    entries: HashMap<CredentialRequest, IssuedCredential>,
}

impl CredentialCache {
    /// Returns the cached answer to an equal request, or issues and caches one.
    ///
    /// # Errors
    /// Those of `issue`; they are not cached.
    pub(super) fn get_or_issue<E>(
        &self,
        request: CredentialRequest,
        snapshot: IssuerSnapshot,
        now: u64,
        issue: impl FnOnce(&CredentialRequest) -> Result<IssuedCredential, E>,
    ) -> Result<IssuedCredential, E> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.reset_unless(snapshot);
        if let Some(cached) = state.entries.get(&request).filter(|cached| now < cached.refresh_at) {
            return Ok(cached.clone());
        }
        let issued = issue(&request)?;
        state.evict(now);
        state.entries.insert(request, issued.clone());
        Ok(issued)
    }
}

impl CacheState {
    /// Drops entries issued under older keys or relay states.
    fn reset_unless(&mut self, snapshot: IssuerSnapshot) {
        if self.snapshot.as_ref() != Some(&snapshot) {
            self.entries.clear();
            self.snapshot = Some(snapshot);
        }
    }

    fn evict(&mut self, now: u64) {
        if self.entries.len() < MAX_ENTRIES {
            return;
        }
        self.entries.retain(|_, cached| now < cached.refresh_at);
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.clear(); // all are fresh: issuing again is cheap, growing is not
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use service_kit::secrets::{SecretSource, Secrets};

    use super::*;
    use crate::credential::CredentialOwner;
    use crate::issuer::{Issuer, Keys};
    use crate::pool::{Pool, Pools, Standing};
    use crate::ttl::TtlSettings;

    fn issuer() -> Issuer {
        let secrets = Secrets::parse("north-star-secret-of-thirty-two-bytes").unwrap();
        let keys = Keys { signing: SecretSource::fixed(secrets), pseudonyms: None };
        let pool = Pool::parse(&"default".parse().unwrap(), "turn:a").unwrap();
        let ttl = Duration::from_secs(600);
        Issuer::new(keys, Pools::new(vec![pool]), TtlSettings { default: ttl, max: ttl })
    }

    /// Requests a credential at `now` and returns its time of issue.
    fn request(cache: &CredentialCache, subject: &str, issuer: &Issuer, now: u64) -> u64 {
        let region = issuer.pools().region(None, None).unwrap();
        let owner = CredentialOwner::Subject(subject.parse().unwrap());
        let request = CredentialRequest { owner, room: None, region, ttl: issuer.clamp_ttl(None) };
        let issue = |request: &CredentialRequest| {
            Ok::<_, Infallible>(issuer.issue(request, Duration::from_secs(now)).unwrap())
        };
        cache.get_or_issue(request, issuer.snapshot(), now, issue).unwrap().expires_at - 600
    }

    #[test]
    fn an_answer_is_given_again_until_it_is_due_for_renewal() {
        let (cache, issuer) = (CredentialCache::default(), issuer());
        assert_eq!(request(&cache, "ana", &issuer, 1000), 1000);
        assert_eq!(request(&cache, "ana", &issuer, 1299), 1000);
        assert_eq!(request(&cache, "bob", &issuer, 1299), 1299);
        assert_eq!(request(&cache, "ana", &issuer, 1300), 1300);
    }

    #[test]
    fn new_keys_and_other_relays_forget_what_stood_on_the_old_ones() {
        let (cache, first) = (CredentialCache::default(), issuer());
        assert_eq!(request(&cache, "ana", &first, 1000), 1000);
        let second = issuer();
        assert_eq!(request(&cache, "ana", &second, 1001), 1001);
        let mut standings = second.standings();
        standings.set(0, 0, Standing::Down);
        second.set_health(standings);
        assert_eq!(request(&cache, "ana", &second, 1002), 1002);
    }

    #[test]
    fn memory_is_bounded_by_any_number_of_subjects() {
        let (cache, issuer) = (CredentialCache::default(), issuer());
        for n in 0..=MAX_ENTRIES {
            request(&cache, &format!("user-{n}"), &issuer, 1000);
        }
        assert!(cache.0.lock().unwrap().entries.len() <= MAX_ENTRIES);
    }
}
