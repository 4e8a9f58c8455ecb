//! The revoked tokens of a cluster: one hash.

use std::collections::HashMap;

use fred::interfaces::HashesInterface as _;
use futures_util::future::BoxFuture;

use super::RedisLog;
use crate::log::{LogError, Revocations, Revoked, RevokedList, Until};

/// `sub:…` or `jti:…` → until when, in Unix seconds; and [`VERSION`].
const REVOKED: &str = "revoked";

/// The field that rises with every change; no name of ours.
const VERSION: &str = "version";

impl RedisLog {
    async fn read_revoked(&self, known: u64) -> Result<Option<RevokedList>, LogError> {
        let version: Option<u64> = self.commands().hget(REVOKED, VERSION).await?;
        let version = version.unwrap_or_default();
        if version == known {
            return Ok(None);
        }
        // Read after the version: what was written since comes with the next one.
        let fields: HashMap<String, String> = self.commands().hgetall(REVOKED).await?;
        // What is not one of our names is not one of our tokens.
        let read =
            |(name, until): (String, String)| Some((name.parse().ok()?, until.parse().ok()?));
        Ok(Some(RevokedList { version, until: fields.into_iter().filter_map(read).collect() }))
    }

    async fn write_revoked(&self, until: &Until, step: u64) -> Result<(), LogError> {
        if !until.is_empty() {
            let fields: HashMap<String, u64> =
                until.iter().map(|(name, until)| (name.to_string(), *until)).collect();
            let _: u64 = self.commands().hset(REVOKED, fields).await?;
        }
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let _: u64 = self.commands().hincrby(REVOKED, VERSION, step).await?;
        Ok(())
    }

    async fn strike_revoked(&self, revoked: &[Revoked]) -> Result<bool, LogError> {
        let names: Vec<String> = revoked.iter().map(ToString::to_string).collect();
        let struck: u64 = self.commands().hdel(REVOKED, names).await?;
        let _: u64 = self.commands().hincrby(REVOKED, VERSION, 1).await?;
        Ok(struck > 0)
    }
}

impl Revocations for RedisLog {
    fn revoked(&self, known: u64) -> BoxFuture<'_, Result<Option<RevokedList>, LogError>> {
        Box::pin(self.read_revoked(known))
    }

    fn revoke<'a>(&'a self, until: &'a Until, step: u64) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.write_revoked(until, step))
    }

    fn lift<'a>(&'a self, revoked: &'a [Revoked]) -> BoxFuture<'a, Result<bool, LogError>> {
        Box::pin(self.strike_revoked(revoked))
    }
}
