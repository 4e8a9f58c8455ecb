//! The revoked tokens of a cluster: one hash.

use std::collections::HashMap;

use fred::interfaces::HashesInterface as _;
use fred::types::Value;
use fred::types::scripts::Script;
use futures_util::future::BoxFuture;

use super::RedisLog;
use super::words::garbled;
use crate::log::{LogError, Revocations, RevokedList, Written};

/// The hash that `revoke.lua` describes.
const REVOKED: &str = "revoked";

/// The field that rises with every change; no name of ours.
const VERSION: &str = "version";

const SCRIPT: &str = include_str!("revoke.lua");

/// Reads the hash. A text that is none of our names names none of our tokens.
fn list(version: u64, fields: HashMap<String, String>) -> RevokedList {
    let mut list = RevokedList { version, ..RevokedList::default() };
    for (name, text) in fields {
        let (Ok(name), lifted) = (name.parse(), text.strip_prefix('-')) else { continue };
        let (kept, until) = match lifted {
            None => (&mut list.until, text.parse()),
            Some(until) => (&mut list.lifted, until.parse()),
        };
        if let Ok(until) = until {
            kept.insert(name, until);
        }
    }
    list
}

impl RedisLog {
    async fn read_revoked(&self, known: u64) -> Result<Option<RevokedList>, LogError> {
        let key = self.names.shared(REVOKED);
        let (client, in_use) = self.client_of(&key)?;
        let version: Option<u64> = in_use.answer(client.hget(&key, VERSION)).await?;
        let version = version.unwrap_or_default();
        if version == known {
            return Ok(None);
        }
        // Read after the version: what was written since comes with the next one.
        let (client, in_use) = self.client_of(&key)?;
        Ok(Some(list(version, in_use.answer(client.hgetall(key)).await?)))
    }

    async fn write_revoked(&self, changes: &RevokedList) -> Result<Written, LogError> {
        let revoked =
            changes.until.iter().map(|(name, until)| [name.to_string(), until.to_string()]);
        let lifted =
            changes.lifted.iter().map(|(name, until)| [name.to_string(), format!("-{until}")]);
        let args = revoked.chain(lifted).flatten().map(Value::from).collect();
        let script = Script::from_lua(SCRIPT);
        let answer = self.shards.run(&script, vec![self.names.shared(REVOKED)], args).await?;
        let (version, before): (String, usize) = answer.convert()?;
        let version = version.parse().map_err(|_| garbled(format!("version {version:?}")))?;
        Ok(Written { version, before })
    }
}

impl Revocations for RedisLog {
    fn revoked(&self, known: u64) -> BoxFuture<'_, Result<Option<RevokedList>, LogError>> {
        Box::pin(self.read_revoked(known))
    }

    fn write<'a>(&'a self, changes: &'a RevokedList) -> BoxFuture<'a, Result<Written, LogError>> {
        Box::pin(self.write_revoked(changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Revoked, RevokedBy};

    #[test]
    fn what_was_lifted_is_read_apart_and_what_is_no_name_of_ours_is_left_out() {
        let fields = [("sub:ana", "90"), ("jti:t1", "-80"), ("version", "7"), ("sub:bo", "x")];
        let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let list = list(7, fields.into());
        let name = |by, name| Revoked::new(by, name).unwrap();
        assert_eq!(list.until, [(name(RevokedBy::Sub, "ana"), 90)].into());
        assert_eq!(list.lifted, [(name(RevokedBy::Jti, "t1"), 80)].into());
    }
}
