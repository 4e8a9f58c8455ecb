//! Decisions about subjects and relays, stored where every instance of the service reads them.

use std::collections::{HashMap, HashSet};

use redis::{Script, pipe};
use tracing::warn;

use super::{DbError, RelayDb};
use crate::credential::Pseudonym;

/// The decisions at one edition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Rises with every change; instances read the rest only when it differs.
    pub edition: String,
    /// Pseudonyms denied by an operator, with the end in Unix seconds.
    pub denied: HashMap<String, u64>,
    /// Pseudonyms over their budget, with the end of the window in Unix seconds.
    pub over_budget: HashMap<String, u64>,
    /// Names of the relays that get no new clients.
    pub draining: HashSet<String>,
}

type DecisionsReply = (String, Vec<(String, String)>, Vec<(String, String)>, HashSet<String>);

/// Reads times as Redis writes scores, `1.8e+19` included. One that is no time is left out, so that it does not end all
/// the others.
fn times(scores: Vec<(String, String)>) -> HashMap<String, u64> {
    let read = |(name, score): (String, String)| match score.parse::<f64>() {
        Ok(until) if until.is_finite() && until >= 0.0 => Some((name, whole(until))),
        _ => {
            warn!(score, "a decision in the relays' Redis has no time and is ignored");
            None
        }
    };
    scores.into_iter().filter_map(read).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller has checked the sign, and a cast saturates"
)]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

impl RelayDb {
    /// Reads the decisions; `None` if the edition is still `edition`.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn decisions(&self, edition: &str, now: u64) -> Result<Option<Decisions>, DbError> {
        let script = Script::new(include_str!("decisions.lua"));
        let mut call = script.key(self.own_key("edition"));
        call.key(self.own_key("denied")).key(self.own_key("overdrawn"));
        call.key(self.own_key("draining")).arg(edition).arg(now);
        let (found, denied, over_budget, draining): DecisionsReply =
            call.invoke_async(&mut self.connection.clone()).await?;
        let (denied, over_budget) = (times(denied), times(over_budget));
        let decisions = Decisions { edition: found, denied, over_budget, draining };
        Ok((decisions.edition != edition).then_some(decisions))
    }

    /// Denies credentials to a pseudonym until `until`, in Unix seconds.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn deny(&self, pseudonym: &Pseudonym, until: u64, now: u64) -> Result<(), DbError> {
        let key = self.own_key("denied");
        let mut calls = pipe();
        calls.atomic().zadd(&key, pseudonym.to_string(), until).ignore();
        calls.zrembyscore(&key, 0, now).ignore();
        self.commit_decision(&mut calls).await
    }

    /// Removes the denial of a pseudonym.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn allow(&self, pseudonym: &Pseudonym) -> Result<(), DbError> {
        let mut calls = pipe();
        calls.atomic().zrem(self.own_key("denied"), pseudonym.to_string()).ignore();
        self.commit_decision(&mut calls).await
    }

    /// Starts or stops draining a relay.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn drain(&self, relay: &str, drains: bool) -> Result<(), DbError> {
        let mut calls = pipe();
        let key = self.own_key("draining");
        if drains {
            calls.atomic().sadd(key, relay).ignore();
        } else {
            calls.atomic().srem(key, relay).ignore();
        }
        self.commit_decision(&mut calls).await
    }

    pub(super) async fn commit_decision(&self, calls: &mut redis::Pipeline) -> Result<(), DbError> {
        calls.incr(self.own_key("edition"), 1).ignore();
        Ok(calls.query_async(&mut self.connection.clone()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_redis_writes_them_and_one_that_is_none_ends_no_other() {
        let score = |name: &str, score: &str| (name.to_owned(), score.to_owned());
        let read = times(vec![
            score("a", "1700000000"),
            score("b", "1.8446744073709552e+19"),
            score("c", "inf"),
            score("d", "nan"),
            score("e", "1.7e9"),
        ]);
        assert_eq!(read.len(), 3);
        assert_eq!((read["a"], read["b"], read["e"]), (1_700_000_000, u64::MAX, 1_700_000_000));
    }
}
