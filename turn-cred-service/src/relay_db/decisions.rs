//! What operators have decided, kept where every credential service of the relays sees it.

use std::collections::{HashMap, HashSet};

use redis::{Script, pipe};

use super::{DbError, RelayDb};
use crate::credential::Subject;

/// What is decided, as of one edition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Counts the changes.
    pub edition: String,
    /// Who gets no credential, by pseudonym, until when in seconds since 1970.
    pub denied: HashMap<String, u64>,
    /// Who has relayed more than the budget, until its end.
    pub over_budget: HashMap<String, u64>,
    /// The names of the relays that get nobody new.
    pub draining: HashSet<String>,
}

type DecisionsReply = (String, Vec<(String, u64)>, Vec<(String, u64)>, HashSet<String>);

impl RelayDb {
    /// Reads what is decided; nothing if it is still `edition`.
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
        let (denied, over_budget) =
            (denied.into_iter().collect(), over_budget.into_iter().collect());
        let decisions = Decisions { edition: found, denied, over_budget, draining };
        Ok((decisions.edition != edition).then_some(decisions))
    }

    /// Denies credentials to a pseudonym until then, in seconds since 1970.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn deny(&self, pseudonym: &Subject, until: u64, now: u64) -> Result<(), DbError> {
        let key = self.own_key("denied");
        let mut calls = pipe();
        calls.atomic().zadd(&key, pseudonym.to_string(), until).ignore();
        calls.zrembyscore(&key, 0, now).ignore();
        self.commit_decision(&mut calls).await
    }

    /// Lifts what denies a pseudonym credentials.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn allow(&self, pseudonym: &Subject) -> Result<(), DbError> {
        let mut calls = pipe();
        calls.atomic().zrem(self.own_key("denied"), pseudonym.to_string()).ignore();
        self.commit_decision(&mut calls).await
    }

    /// Sends nobody new to a relay, or does again.
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
