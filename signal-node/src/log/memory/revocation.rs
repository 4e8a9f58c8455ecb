//! The revoked tokens of one process.

use futures_util::future::BoxFuture;

use super::MemoryLog;
use crate::log::{LogError, Revocations, Revoked, RevokedList, Until};

impl Revocations for MemoryLog {
    fn revoked(&self, known: u64) -> BoxFuture<'_, Result<Option<RevokedList>, LogError>> {
        let list = self.revoked();
        let news = (list.version != known).then(|| list.clone());
        drop(list);
        Box::pin(async { Ok(news) })
    }

    fn revoke<'a>(&'a self, until: &'a Until, step: u64) -> BoxFuture<'a, Result<(), LogError>> {
        let mut list = self.revoked();
        list.until.extend(until.clone());
        list.version += step;
        drop(list);
        Box::pin(async { Ok(()) })
    }

    fn lift<'a>(&'a self, revoked: &'a [Revoked]) -> BoxFuture<'a, Result<bool, LogError>> {
        let mut list = self.revoked();
        let lifted = revoked.iter().filter(|name| list.until.remove(*name).is_some()).count() > 0;
        list.version += u64::from(lifted);
        drop(list);
        Box::pin(async move { Ok(lifted) })
    }
}
