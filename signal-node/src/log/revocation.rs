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

/// The list as a log holds it.
#[derive(Clone, Debug, Default)]
pub struct RevokedList {
    /// Rises with every change; 0 is a list that was never written.
    pub version: u64,
    /// What is on it.
    pub until: Until,
}

/// Where the list is kept.
pub trait Revocations: Send + Sync + 'static {
    /// Returns the list, unless its version is the known one.
    fn revoked(&self, known: u64) -> BoxFuture<'_, Result<Option<RevokedList>, LogError>>;

    /// Puts these on the list, and raises its version by `step`.
    fn revoke<'a>(&'a self, until: &'a Until, step: u64) -> BoxFuture<'a, Result<(), LogError>>;

    /// Takes these off the list, and raises its version; tells whether one was on it.
    fn lift<'a>(&'a self, revoked: &'a [Revoked]) -> BoxFuture<'a, Result<bool, LogError>>;
}
