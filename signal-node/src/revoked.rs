//! The revoked tokens, as this node knows them.
//!
//! Every node reads the version of the list once a second, and the list itself when the version has changed. A node that
//! cannot read keeps what it knows, and a node that knows more than Redis after a loss writes it back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use service_kit::clock;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::log::{LogError, Revocations, Revoked, RevokedBy, RevokedList, Until, Written};
use crate::metrics::Metrics;

/// The interval between reads of the version.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The list as this node knows it, and its source.
pub struct RevokedTokens {
    source: Arc<dyn Revocations>,
    known: RwLock<RevokedList>,
    /// The newest version that this node has written or read.
    written: AtomicU64,
    changed: watch::Sender<u64>,
    metrics: Arc<Metrics>,
}

impl RevokedTokens {
    /// Starts with an empty list.
    #[must_use]
    pub fn new(source: Arc<dyn Revocations>, metrics: Arc<Metrics>) -> Self {
        let (known, written) = (RwLock::default(), AtomicU64::new(0));
        Self { source, known, written, changed: watch::Sender::new(0), metrics }
    }

    /// Changes whenever the list does.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells whether the tokens of this subject, or the one of this id, are revoked now.
    #[must_use]
    pub fn covers(&self, subject: &str, token_id: Option<&str>) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.until.is_empty() {
            return false;
        }
        let now = clock::unix_seconds();
        let names = [Some((RevokedBy::Sub, subject)), token_id.map(|id| (RevokedBy::Jti, id))];
        let names = names.into_iter().flatten().filter_map(|(by, name)| Revoked::new(by, name));
        names.into_iter().any(|name| known.until.get(&name).is_some_and(|until| *until > now))
    }

    /// Returns what is revoked now, and until when.
    ///
    /// # Errors
    /// [`LogError`] if the list cannot be read.
    pub async fn list(&self) -> Result<Vec<(Revoked, u64)>, LogError> {
        self.read().await?;
        let (known, now) = (self.known(), clock::unix_seconds());
        let mut list: Vec<_> = known.until.into_iter().filter(|(_, until)| *until > now).collect();
        list.sort_by_key(|(name, _)| name.to_string());
        Ok(list)
    }

    /// Revokes until that moment, in Unix seconds; every node knows within two seconds.
    ///
    /// # Errors
    /// [`LogError`] if the list cannot be written; whether it was is unknown then.
    pub async fn revoke(&self, revoked: Revoked, until: u64) -> Result<(), LogError> {
        info!(
            "revoked for {} s: tokens by {:?}",
            until.saturating_sub(clock::unix_seconds()),
            revoked.by
        );
        let until = Until::from([(revoked, until)]);
        self.write(&RevokedList { until, ..RevokedList::default() }).await?;
        self.read().await
    }

    /// Lifts a revocation; `false` if there is none.
    ///
    /// # Errors
    /// [`LogError`] if the list cannot be written; whether it was is unknown then.
    pub async fn lift(&self, revoked: Revoked) -> Result<bool, LogError> {
        self.read().await?;
        let Some(until) = self.known().until.get(&revoked).copied() else { return Ok(false) };
        let lifted = Until::from([(revoked, until)]);
        let written = self.write(&RevokedList { lifted, ..RevokedList::default() }).await?;
        self.read().await?;
        Ok(written.before > 0)
    }

    /// Writes changes, and knows them from then on, whatever becomes of Redis.
    async fn write(&self, changes: &RevokedList) -> Result<Written, LogError> {
        let written = self.source.write(changes).await?;
        self.written.fetch_max(written.version, Ordering::Relaxed);
        self.known.write().unwrap_or_else(PoisonError::into_inner).apply(changes);
        Ok(written)
    }

    /// Follows the list until the node ends.
    pub async fn follow(self: Arc<Self>, end: CancellationToken) {
        let mut pace = interval(READ_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while end.run_until_cancelled(pace.tick()).await.is_some() {
            // Best effort: a node that cannot read keeps what it knows.
            let _ = self.read().await;
        }
    }

    fn known(&self) -> RevokedList {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns what is new in the list, and puts back what the list has lost.
    async fn read(&self) -> Result<(), LogError> {
        let known = self.known();
        // A list that has lost nothing has everything that this node has written.
        let written = self.written.load(Ordering::Relaxed);
        let found = match self.source.revoked(known.version).await? {
            Some(list) => list,
            None if written > known.version => {
                // As of before our last change.
                let list = self.source.revoked(0).await?;
                list.unwrap_or_default()
            }
            None => return Ok(()),
        };
        let Some(lost) = known.lost_in(&found, written, clock::unix_seconds()) else {
            self.learn(found);
            return Ok(());
        };
        let count = lost.until.len() + lost.lifted.len();
        warn!("Redis has lost revocations; putting {count} back");
        self.write(&lost).await?;
        if let Some(list) = self.source.revoked(0).await? {
            self.learn(list);
        }
        Ok(())
    }

    fn learn(&self, mut list: RevokedList) {
        list.forget_past(clock::unix_seconds());
        self.metrics.revocations.set(i64::try_from(list.until.len()).unwrap_or(i64::MAX));
        let version = list.version;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = list;
        self.written.store(version, Ordering::Relaxed);
        self.changed.send_replace(version);
    }
}
