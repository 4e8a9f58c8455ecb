//! The tokens that the nodes have revoked: neither credentials nor rights come with them.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use service_kit::redis_access;
use signal_protocol::encode;
use tracing::{info, warn};

use crate::relay_db::RelayDb;

/// The interval between reads of the list's version.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The list as this instance knows it.
#[derive(Debug, Default)]
pub struct RevokedTokens {
    /// The prefix of the nodes' keys.
    prefix: String,
    known: RwLock<HashMap<String, u64>>,
}

impl RevokedTokens {
    /// Starts with an empty list, which lies behind this prefix.
    #[must_use]
    pub fn new(prefix: String) -> Self {
        Self { prefix, known: RwLock::default() }
    }

    /// Tells whether all tokens of the subject, or the one of this id, are revoked at `now`, in Unix seconds.
    #[must_use]
    pub fn covers(&self, subject: &str, token_id: Option<&str>, now: u64) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            return false;
        }
        let names = [Some(("sub", subject)), token_id.map(|id| ("jti", id))];
        let names = names.into_iter().flatten().map(|(by, name)| format!("{by}:{}", encode(name)));
        names.into_iter().any(|name| known.get(&name).is_some_and(|until| *until > now))
    }

    /// Reads the list once; a Redis that does not answer changes nothing.
    pub async fn read(&self, db: &RelayDb, version: &mut String) {
        match db.revoked(&self.prefix, version).await {
            Ok(Some((found, list))) => {
                *version = found;
                self.set(list);
            }
            Ok(None) => {}
            Err(error) => {
                // Once: the next version that is read ends it.
                if version != "unreadable" {
                    let advice = redis_access::advice(&error.to_string()).unwrap_or_default();
                    warn!(
                        "cannot read the revocations of the nodes, keeping the known ones: {error} \
                         (TURN_CRED_ROOMS_REDIS_URL, or TURN_CRED_REDIS_URL) {advice}"
                    );
                    "unreadable".clone_into(version);
                }
            }
        }
    }

    /// Follows the list until the task is dropped.
    pub async fn follow(&self, db: RelayDb, mut version: String) {
        loop {
            tokio::time::sleep(READ_EVERY).await;
            self.read(&db, &mut version).await;
        }
    }

    fn set(&self, list: HashMap<String, u64>) {
        info!("the nodes have revoked tokens by {} names", list.len());
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = list;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_found_by_its_own_text_and_a_token_by_its_id() {
        let revoked = RevokedTokens::default();
        revoked
            .set(HashMap::from([("sub:auth0%7C7".to_owned(), 20), ("jti:a%20b".to_owned(), 20)]));
        assert!(revoked.covers("auth0|7", None, 19));
        assert!(!revoked.covers("auth0|7", None, 20), "it has ended");
        assert!(!revoked.covers("auth0%7C7", None, 19));
        assert!(revoked.covers("ana", Some("a b"), 19));
        assert!(!revoked.covers("ana", Some("c"), 19));
    }
}
