//! A connection to Redis that is replaced as a whole when it is of no more use.
//!
//! fred connects again by itself where a connection breaks. It does not notice three things, each seen to last for
//! minutes or for ever: a connection that falls silent while we go on writing to it, since its own check counts from
//! the last write; a primary that has become a replica under the same name; and the end of its own routing task, which
//! one redirection that fails is enough for. [`super::watchdog`] notices them, and what it does about each is the
//! same: a new client, which looks the name up again, in the place of the old one.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike as _;
use fred::types::ConnectHandle;
use service_kit::redis_access::{self, RedisAccess};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::client::{COMMAND_TIMEOUT, client};
use super::probes::Probes;
use crate::log::LogError;

/// One of the two connections to a server, for commands or for subscriptions.
pub(super) struct Connection {
    /// How it is called in the log.
    pub(super) name: &'static str,
    access: RedisAccess,
    client: watch::Sender<Client>,
    router: Mutex<AbortHandle>,
    probes: Mutex<Probes>,
    is_misdirected: AtomicBool,
    /// Told when the watchdog has something to do before its next probe.
    alarm: Arc<Notify>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if Redis does not answer now, [`LogError::Rejected`] if it is no use to try again.
    pub(super) async fn open(
        name: &'static str,
        access: RedisAccess,
        lease: Duration,
    ) -> Result<Self, LogError> {
        let alarm = Arc::new(Notify::new());
        let (client, router) = connect(&access, alarm.clone()).await?;
        Ok(Self::with((client, router), (name, access, lease), alarm))
    }

    /// Begins to connect, whether the server is there or not.
    ///
    /// # Errors
    /// [`LogError::Rejected`] if a certificate is of no use.
    pub(super) fn begin(
        name: &'static str,
        access: RedisAccess,
        lease: Duration,
    ) -> Result<Self, LogError> {
        let alarm = Arc::new(Notify::new());
        let client = client(&access)?;
        let router = raise_at_end(client.connect(), alarm.clone());
        Ok(Self::with((client, router), (name, access, lease), alarm))
    }

    fn with(
        (client, router): (Client, AbortHandle),
        (name, access, lease): (&'static str, RedisAccess, Duration),
        alarm: Arc<Notify>,
    ) -> Self {
        Self {
            name,
            access,
            client: watch::Sender::new(client),
            router: Mutex::new(router),
            probes: Mutex::new(Probes::new(lease, Instant::now())),
            is_misdirected: AtomicBool::new(false),
            alarm,
        }
    }

    /// Returns the client in use.
    pub(super) fn client(&self) -> Client {
        self.client.borrow().clone()
    }

    /// Returns the client in use, and what to wait with for its answer.
    pub(super) fn in_use(&self) -> (Client, InUse) {
        let mut clients = self.client.subscribe();
        let client = clients.borrow_and_update().clone();
        (client, InUse(clients))
    }

    /// Changes whenever the client is replaced.
    pub(super) fn clients(&self) -> watch::Receiver<Client> {
        self.client.subscribe()
    }

    /// Tells whether nothing was heard on it for a lease.
    pub(super) fn is_silent(&self) -> bool {
        self.probes().is_silent(Instant::now())
    }

    pub(super) fn probes(&self) -> MutexGuard<'_, Probes> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the server rejects what only a primary takes: the name may lead elsewhere by now.
    pub(super) fn misdirected(&self) {
        self.is_misdirected.store(true, Ordering::Relaxed);
        self.alarm.notify_one();
    }

    /// Tells whether the server was found to be the wrong one since this was asked last.
    pub(super) fn was_misdirected(&self) -> bool {
        self.is_misdirected.swap(false, Ordering::Relaxed)
    }

    /// Waits until there is something to look at before the next probe.
    pub(super) async fn alarmed(&self) {
        self.alarm.notified().await;
    }

    /// Tells whether fred's task for this client has ended, after which no command is answered.
    pub(super) fn is_dead(&self) -> bool {
        self.router().is_finished()
    }

    fn router(&self) -> MutexGuard<'_, AbortHandle> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects anew, and ends the old client. Callers that wait for an answer of the old one are told that it is
    /// unknown.
    ///
    /// # Errors
    /// As [`Connection::open`]; the old client stays then, since it may recover.
    pub(super) async fn replace(&self) -> Result<(), LogError> {
        let (client, router) = connect(&self.access, self.alarm.clone()).await?;
        let ended = std::mem::replace(&mut *self.router(), router);
        self.client.send_replace(client);
        ended.abort();
        Ok(())
    }
}

/// The time for which a client is in use. One that was replaced may answer nothing.
pub(super) struct InUse(watch::Receiver<Client>);

impl InUse {
    /// Waits for an answer, but no longer than the client is in use.
    pub(super) async fn answer<T>(
        mut self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, LogError> {
        tokio::select! {
            biased;
            answer = answer => Ok(answer?),
            _ = self.0.changed() => {
                Err(LogError::Unavailable("the connection was replaced".to_owned()))
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.router().abort();
    }
}

async fn connect(
    access: &RedisAccess,
    alarm: Arc<Notify>,
) -> Result<(Client, AbortHandle), LogError> {
    let client = client(access)?;
    let connected = async { client.init().await.map_err(connect_error) };
    let router = bounded(2 * COMMAND_TIMEOUT, connected).await?;
    Ok((client, raise_at_end(router, alarm)))
}

/// What fred says of an error of rustls, which it passes on as one of the connection: a certificate or authority that one
/// side does not trust, or a peer that speaks no TLS.
const TLS_FAULT: &str = "kind: InvalidData";

/// Tells a rejection, which does not end by itself, from a Redis that cannot be reached now.
fn connect_error(error: Error) -> LogError {
    let words = error.to_string();
    let is_rejection = matches!(error.kind(), ErrorKind::Auth | ErrorKind::Config | ErrorKind::Tls)
        || redis_access::advice(&words).is_some()
        || words.contains(TLS_FAULT);
    if is_rejection { LogError::Rejected(words) } else { error.into() }
}

/// Raises the alarm when fred's task for a client ends. However it does, no command is answered any more.
fn raise_at_end(router: ConnectHandle, alarm: Arc<Notify>) -> AbortHandle {
    let handle = router.abort_handle();
    tokio::spawn(async move {
        let _ = router.await;
        alarm.notify_one();
    });
    handle
}

/// Waits for an answer, but no longer than `limit`.
pub(super) async fn bounded<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, LogError>>,
) -> Result<T, LogError> {
    let too_late = |_| LogError::Unavailable(format!("no answer within {limit:?}"));
    timeout(limit, answer).await.map_err(too_late)?
}
