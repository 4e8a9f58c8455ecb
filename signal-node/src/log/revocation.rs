//! Tokens that are void before their end, kept beside the rooms.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use signal_protocol::{decode, encode, limits};
use utoipa::ToSchema;

use super::LogError;

/// By what tokens are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevokedBy {
    /// All tokens of a subject (RFC 7519 §4.1.2), those not issued yet included.
    Sub,
    /// One token, by its id (RFC 7519 §4.1.7).
    Jti,
}

/// What is revoked; written `sub:ana`, with the name percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revoked {
    /// By what it is named.
    pub by: RevokedBy,
    /// Its name: any text that fits a subject.
    pub name: String,
}

impl Revoked {
    /// Names what is revoked; `None` if the name is empty or too long.
    #[must_use]
    pub fn new(by: RevokedBy, name: &str) -> Option<Self> {
        let fits = (1..=limits::SUBJECT_BYTES).contains(&name.len());
        fits.then(|| Self { by, name: name.to_owned() })
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            RevokedBy::Sub => "sub",
            RevokedBy::Jti => "jti",
        };
        write!(f, "{by}:{}", encode(&self.name))
    }
}

impl FromStr for Revoked {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (by, name) = text.split_once(':').ok_or(())?;
        let by = match by {
            "sub" => RevokedBy::Sub,
            "jti" => RevokedBy::Jti,
            _ => return Err(()),
        };
        decode(name).and_then(|name| Self::new(by, &name)).ok_or(())
    }
}

/// Until when each is revoked, in Unix seconds.
pub type Until = HashMap<Revoked, u64>;

/// By how much the version rises at most through nodes of version 0.1.0, which count changes, until it is read again. This
/// version takes it from the clock, in µs.
const COUNTED: u64 = 1_000;

/// The list as a log holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevokedList {
    /// Rises with every change; 0 is a list that was never written.
    pub version: u64,
    /// What is on it.
    pub until: Until,
    /// The revocations that were lifted, and their former ends.
    pub lifted: Until,
}

impl RevokedList {
    /// Returns what this list knows and `read` has lost; `None` if that is nothing.
    ///
    /// A version below ours, or below what this node has `written`, says that the log has lost the last changes, and ours
    /// count. One far above ours may hide the same, since others may have written after the loss: then what is absent is lost. One a little above is of nodes of version
    /// 0.1.0, which delete what they lift.
    #[must_use]
    pub fn lost_in(&self, read: &Self, written: u64, now: u64) -> Option<Self> {
        let went_back = read.version < self.version.max(written);
        if !went_back && read.version - self.version <= COUNTED {
            return None;
        }
        let differs = |name: &Revoked, until: &u64, there: &Until, other: &Until| {
            let is_absent = !there.contains_key(name) && !other.contains_key(name);
            *until > now && (is_absent || (went_back && there.get(name) != Some(until)))
        };
        let pick = |mine: &Until, there: &Until, other: &Until| -> Until {
            let lost = mine.iter().filter(|(name, until)| differs(name, until, there, other));
            lost.map(|(name, until)| (name.clone(), *until)).collect()
        };
        let until = pick(&self.until, &read.until, &read.lifted);
        let lifted = pick(&self.lifted, &read.lifted, &read.until);
        let lost = Self { version: 0, until, lifted };
        (!lost.is_empty()).then_some(lost)
    }

    /// Takes in changes of another list, without its version.
    pub fn apply(&mut self, changes: &Self) {
        for (name, until) in &changes.until {
            self.lifted.remove(name);
            self.until.insert(name.clone(), *until);
        }
        for (name, until) in &changes.lifted {
            self.until.remove(name);
            self.lifted.insert(name.clone(), *until);
        }
    }

    /// Forgets what is over.
    pub fn forget_past(&mut self, now: u64) {
        self.until.retain(|_, until| *until > now);
        self.lifted.retain(|_, until| *until > now);
    }

    fn is_empty(&self) -> bool {
        self.until.is_empty() && self.lifted.is_empty()
    }
}

/// What a log answers to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The version of the list with the change in it.
    pub version: u64,
    /// How many of the names were revoked before.
    pub before: usize,
}

/// Where the list is kept.
pub trait Revocations: Send + Sync + 'static {
    /// Returns the list, unless its version is the known one.
    fn revoked(&self, known: u64) -> BoxFuture<'_, Result<Option<RevokedList>, LogError>>;

    /// Applies changes, of which the version does not count, and gives the list a version that it never had.
    fn write<'a>(&'a self, changes: &'a RevokedList) -> BoxFuture<'a, Result<Written, LogError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(version: u64, revoked: &[&str], lifted: &[&str]) -> RevokedList {
        let names = |names: &[&str]| {
            names.iter().map(|name| (Revoked::new(RevokedBy::Sub, name).unwrap(), 100)).collect()
        };
        RevokedList { version, until: names(revoked), lifted: names(lifted) }
    }

    #[test]
    fn a_version_that_went_back_brings_out_everything_that_the_log_has_not() {
        let known = list(9_000, &["ana", "bo"], &["cy"]);
        let lost = known.lost_in(&list(5_000, &["ana", "cy"], &[]), 0, 50);
        assert_eq!(lost, Some(list(0, &["bo"], &["cy"])));
    }

    /// The version was a counter: after a loss of one change, one more made it the same again.
    #[test]
    fn changes_after_a_loss_hide_it_from_nobody() {
        let known = list(9_000, &["ana", "bo"], &[]);
        let lost = known.lost_in(&list(20_000, &["ana", "dee"], &[]), 20_000, 50);
        assert_eq!(lost, Some(list(0, &["bo"], &[])));
    }

    #[test]
    fn what_is_lifted_or_over_is_not_lost() {
        let known = list(9_000, &["ana"], &[]);
        assert_eq!(known.lost_in(&list(20_000, &[], &["ana"]), 0, 50), None);
        assert_eq!(known.lost_in(&list(20_000, &[], &[]), 0, 100), None);
    }

    #[test]
    fn what_a_node_of_an_older_version_deletes_is_lifted() {
        let known = list(9_000, &["ana"], &[]);
        assert_eq!(known.lost_in(&list(9_001, &[], &[]), 0, 50), None);
    }
}
