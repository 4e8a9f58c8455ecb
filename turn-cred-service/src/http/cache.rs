//! Credentials already handed to a subject, given again until they are due for renewal.
//!
//! A node asks once per member and again on every reconnect; with an answer that stays the same
//! for half a TTL a storm of reconnects costs one lookup each.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::issuer::{Ask, Ground, Issued};

/// The most answers remembered: about 10 MB.
const MAX_ENTRIES: usize = 20_000;

/// A bounded memory of answers, forgotten as a whole when keys or relays change.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ground: Option<Ground>,
    entries: HashMap<Ask, Issued>,
}

impl Cache {
    /// Gives what is remembered for the same question, or issues and remembers it.
    ///
    /// # Errors
    /// What `issue` returns; it is not remembered.
    pub(super) fn get_or_issue<E>(
        &self,
        ask: Ask,
        ground: Ground,
        now: u64,
        issue: impl FnOnce(&Ask) -> Result<Issued, E>,
    ) -> Result<Issued, E> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.follow(ground);
        if let Some(known) = state.entries.get(&ask).filter(|known| now < known.refresh_at) {
            return Ok(known.clone());
        }
        let issued = issue(&ask)?;
        state.make_room(now);
        state.entries.insert(ask, issued.clone());
        Ok(issued)
    }
}

impl State {
    /// Forgets everything that stands on something else than what is in force.
    fn follow(&mut self, ground: Ground) {
        if self.ground.as_ref() != Some(&ground) {
            self.entries.clear();
            self.ground = Some(ground);
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
    use std::convert::Infallible;
    use std::time::Duration;

    use service_kit::secrets::{SecretSource, Secrets};

    use super::*;
    use crate::issuer::{Issuer, Keys, Lifetimes};
    use crate::pool::{Pool, Pools, Standing};

    fn issuer() -> Issuer {
        let secrets = Secrets::parse("north-star-secret-of-thirty-two-bytes").unwrap();
        let keys = Keys { signing: SecretSource::fixed(secrets), pseudonyms: None };
        let pool = Pool::parse(&"default".parse().unwrap(), "turn:a").unwrap();
        let ttl = Duration::from_secs(600);
        Issuer::new(keys, Pools::new(vec![pool]), Lifetimes { default: ttl, max: ttl })
    }

    /// Asks for `subject` at `now` and returns when the answer was issued.
    fn ask(cache: &Cache, subject: &str, issuer: &Issuer, now: u64) -> u64 {
        let region = issuer.pools().region(None, None).unwrap();
        let subject = subject.parse().unwrap();
        let ask = Ask { subject, room: None, region, ttl: issuer.settle(None) };
        let issue =
            |ask: &Ask| Ok::<_, Infallible>(issuer.issue(ask, Duration::from_secs(now)).unwrap());
        cache.get_or_issue(ask, issuer.ground(), now, issue).unwrap().expires_at - 600
    }

    #[test]
    fn an_answer_is_given_again_until_it_is_due_for_renewal() {
        let (cache, issuer) = (Cache::default(), issuer());
        assert_eq!(ask(&cache, "ana", &issuer, 1000), 1000);
        assert_eq!(ask(&cache, "ana", &issuer, 1299), 1000);
        assert_eq!(ask(&cache, "bob", &issuer, 1299), 1299);
        assert_eq!(ask(&cache, "ana", &issuer, 1300), 1300);
    }

    #[test]
    fn new_keys_and_other_relays_forget_what_stood_on_the_old_ones() {
        let (cache, first) = (Cache::default(), issuer());
        assert_eq!(ask(&cache, "ana", &first, 1000), 1000);
        let second = issuer();
        assert_eq!(ask(&cache, "ana", &second, 1001), 1001);
        let mut standings = second.standings();
        standings.set(0, 0, Standing::Down);
        second.set_health(standings);
        assert_eq!(ask(&cache, "ana", &second, 1002), 1002);
    }

    #[test]
    fn memory_is_bounded_by_any_number_of_subjects() {
        let (cache, issuer) = (Cache::default(), issuer());
        for n in 0..=MAX_ENTRIES {
            ask(&cache, &format!("user-{n}"), &issuer, 1000);
        }
        assert!(cache.0.lock().unwrap().entries.len() <= MAX_ENTRIES);
    }
}
