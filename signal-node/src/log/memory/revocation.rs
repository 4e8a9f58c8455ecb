//! The revoked tokens of one process.

use futures_util::future::BoxFuture;

use super::MemoryLog;
use crate::log::{LogError, Revocations, RevokedList, Written};

impl Revocations for MemoryLog {
    fn revoked(&self, known: u64) -> BoxFuture<'_, Result<Option<RevokedList>, LogError>> {
        let list = self.revoked();
        let news = (list.version != known).then(|| list.clone());
        drop(list);
        Box::pin(async { Ok(news) })
    }

    fn write<'a>(&'a self, changes: &'a RevokedList) -> BoxFuture<'a, Result<Written, LogError>> {
        let (mut list, now) = (self.revoked(), (self.clock)());
        let names = changes.until.keys().chain(changes.lifted.keys());
        let is_revoked = |until: &u64| *until > now.as_secs();
        let before = names.filter(|name| list.until.get(name).is_some_and(is_revoked)).count();
        list.apply(changes);
        list.forget_past(now.as_secs());
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        list.version = micros.max(list.version + 1);
        let version = list.version;
        drop(list);
        Box::pin(async move { Ok(Written { version, before }) })
    }
}
