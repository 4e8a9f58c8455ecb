//! Credentials already handed to a subject, given again until they are due for renewal.
//!
//! A node asks once per member and again on every reconnect; with an answer that stays the same
//! for half a TTL a storm of reconnects costs one lookup each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service_kit::secrets::Secrets;

use crate::credential::Subject;
use crate::issuer::Issued;

/// The most answers remembered: about 10 MB.
const MAX_ENTRIES: usize = 20_000;

/// What tells two answers apart.
type Key = (Subject, Duration);

/// A bounded memory of answers, forgotten as a whole when the keys change.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    keys: Option<Arc<Secrets>>,
    entries: HashMap<Key, Issued>,
}

impl Cache {
    /// Gives what is remembered for a subject, or issues and remembers it.
    pub(super) fn get_or_issue(
        &self,
        key: Key,
        keys: &Arc<Secrets>,
        now: u64,
        issue: impl FnOnce(&Subject) -> Issued,
    ) -> Issued {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.follow(keys);
        if let Some(known) = state.entries.get(&key).filter(|known| now < known.refresh_at) {
            return known.clone();
        }
        let issued = issue(&key.0);
        state.make_room(now);
        state.entries.insert(key, issued.clone());
        issued
    }
}

impl State {
    /// Forgets everything signed with keys that are no longer in force.
    fn follow(&mut self, keys: &Arc<Secrets>) {
        if !self.keys.as_ref().is_some_and(|known| Arc::ptr_eq(known, keys)) {
            self.entries.clear();
            self.keys = Some(Arc::clone(keys));
        }
    }

    fn make_room(&mut self, now: u64) {
        if self.entries.len() < MAX_ENTRIES {
            return;
        }
        self.entries.retain(|_, known| now < known.refresh_at);
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.clear(); // all are fresh: issuing again is cheap, growing is not
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Credential;
    use crate::pool::Pool;

    fn keys(text: &str) -> Arc<Secrets> {
        Arc::new(Secrets::parse(text).unwrap())
    }

    /// Asks for `subject` at `now` and returns when the answer was issued.
    fn ask(cache: &Cache, subject: &str, keys: &Arc<Secrets>, now: u64) -> u64 {
        let issue = |subject: &Subject| Issued {
            credential: Credential::issue(b"key", subject, now + 600),
            pool: Arc::new(Pool::parse("default", "turn:a").unwrap()),
            expires_at: now + 600,
            refresh_at: now + 300,
        };
        let key = (subject.parse().unwrap(), Duration::from_secs(600));
        cache.get_or_issue(key, keys, now, issue).expires_at - 600
    }

    #[test]
    fn an_answer_is_given_again_until_it_is_due_for_renewal() {
        let (cache, keys) = (Cache::default(), keys("north-star-secret-of-thirty-two-bytes"));
        assert_eq!(ask(&cache, "ana", &keys, 1000), 1000);
        assert_eq!(ask(&cache, "ana", &keys, 1299), 1000);
        assert_eq!(ask(&cache, "bob", &keys, 1299), 1299);
        assert_eq!(ask(&cache, "ana", &keys, 1300), 1300);
    }

    #[test]
    fn new_keys_forget_what_the_old_ones_signed() {
        let cache = Cache::default();
        let old = keys("north-star-secret-of-thirty-two-bytes");
        assert_eq!(ask(&cache, "ana", &old, 1000), 1000);
        let new = keys("south-star-secret-of-thirty-two-bytes");
        assert_eq!(ask(&cache, "ana", &new, 1001), 1001);
    }

    #[test]
    fn memory_is_bounded_by_any_number_of_subjects() {
        let (cache, keys) = (Cache::default(), keys("north-star-secret-of-thirty-two-bytes"));
        for n in 0..=MAX_ENTRIES {
            ask(&cache, &format!("user-{n}"), &keys, 1000);
        }
        assert!(cache.0.lock().unwrap().entries.len() <= MAX_ENTRIES);
    }
}
