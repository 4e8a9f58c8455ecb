//! The tokens that the nodes have revoked, as they lie in the Redis of the nodes.

use std::collections::HashMap;

use redis::AsyncCommands as _;

use super::{DbError, RelayDb};

/// The hash of the nodes, behind their prefix: `sub:…` or `jti:…`, percent-encoded, and until when in Unix seconds; and [`VERSION`].
const REVOKED: &str = "revoked";

/// The field that changes with every change of the others.
const VERSION: &str = "version";

impl RelayDb {
    /// Reads the list; `None` if its version is still `version`.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn revoked(
        &self,
        prefix: &str,
        version: &str,
    ) -> Result<Option<(String, HashMap<String, u64>)>, DbError> {
        let key = format!("{prefix}{REVOKED}");
        let mut connection = self.connection.clone();
        let found: Option<String> = connection.hget(&key, VERSION).await?;
        let found = found.unwrap_or_default();
        if found == version {
            return Ok(None);
        }
        // One that was lifted is written with a minus, and is no time.
        // Read after the version: what was written since comes with the next one.
        let fields: HashMap<String, String> = connection.hgetall(&key).await?;
        let read = |(name, until): (String, String)| Some((name, until.parse().ok()?));
        Ok(Some((found, fields.into_iter().filter_map(read).collect())))
    }
}
