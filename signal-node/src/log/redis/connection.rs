//! A connection to Redis that is replaced as a whole when it is of no more use.
//!
//! fred connects again by itself where a connection breaks. It does not notice three things, each seen to last for
//! minutes or for ever: a connection that falls silent while we go on writing to it, since its own check counts from
//! the last write; a primary that has become a replica under the same name; and the end of its own routing task, which
//! one redirection that fails is enough for. [`super::watchdog`] notices them, and what it does about each is the
//! same: a new client, which looks the name up again, in the place of the old one.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike as _;
use fred::types::config::{Config, ReconnectPolicy, TcpConfig, UnresponsiveConfig};
use fred::types::{Builder, ConnectHandle};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::probes::{Probes, Reach};
use crate::log::LogError;

/// How long one command may take; after that its outcome is unknown.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);

/// How often fred sends a command: once more for each redirection of a cluster that it follows. Each step of ours
/// recognises its own repetition.
const ATTEMPTS: u32 = 3;

/// Commands that may wait to be written. More are told that Redis is too slow.
const WAITING_COMMANDS: usize = 100_000;

/// Messages that fred's broadcast channel holds before it drops the oldest. A dropped message costs one read of the
/// log by each room, not the message. fred allocates as many slots up front for every event channel of each client:
/// at 65,536, 90 MiB before the first connection.
const MESSAGE_BUFFER: usize = 4_096;

/// One of the two connections of a node, and what is known of it.
pub(super) struct Connection {
    /// How it is called in the log.
    pub(super) name: &'static str,
    config: Config,
    client: watch::Sender<Client>,
    router: Mutex<ConnectHandle>,
    probes: Mutex<Probes>,
    /// Told when the answers say that the server is the wrong one.
    misdirected: Notify,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if Redis does not answer now.
    pub(super) async fn open(
        name: &'static str,
        config: Config,
        lease: Duration,
    ) -> Result<Self, LogError> {
        let (client, router) = connect(&config).await?;
        Ok(Self {
            name,
            config,
            client: watch::Sender::new(client),
            router: Mutex::new(router),
            probes: Mutex::new(Probes::new(lease, Instant::now())),
            misdirected: Notify::new(),
        })
    }

    /// Returns the client in use.
    pub(super) fn client(&self) -> Client {
        self.client.borrow().clone()
    }

    /// Changes whenever the client is replaced.
    pub(super) fn clients(&self) -> watch::Receiver<Client> {
        self.client.subscribe()
    }

    /// Returns which servers have answered within a lease.
    pub(super) fn reach(&self) -> Reach {
        self.probes().reach(Instant::now())
    }

    pub(super) fn probes(&self) -> MutexGuard<'_, Probes> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the server rejects what only a primary takes: the name may lead elsewhere by now.
    pub(super) fn misdirected(&self) {
        self.misdirected.notify_one();
    }

    /// Waits until the server is known to be the wrong one.
    pub(super) async fn is_misdirected(&self) {
        self.misdirected.notified().await;
    }

    /// Tells whether fred's task for this client has ended, after which no command is answered.
    pub(super) fn is_dead(&self) -> bool {
        self.router().is_finished()
    }

    fn router(&self) -> MutexGuard<'_, ConnectHandle> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects anew, and ends the old client. Whoever waits for an answer of the old one is told that it is
    /// unknown.
    ///
    /// # Errors
    /// As [`Connection::open`]; the old client stays then, since it may recover.
    pub(super) async fn replace(&self) -> Result<(), LogError> {
        let (client, router) = connect(&self.config).await?;
        let ended = std::mem::replace(&mut *self.router(), router);
        self.client.send_replace(client);
        ended.abort();
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.router().abort();
    }
}

async fn connect(config: &Config) -> Result<(Client, ConnectHandle), LogError> {
    let client = client(config)?;
    let router = bounded(2 * COMMAND_TIMEOUT, async { Ok(client.init().await?) }).await?;
    Ok((client, router))
}

/// Waits for an answer, but no longer than `limit`.
pub(super) async fn bounded<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, LogError>>,
) -> Result<T, LogError> {
    let too_late = |_| LogError::Unavailable(format!("no answer within {limit:?}"));
    timeout(limit, answer).await.map_err(too_late)?
}

fn client(config: &Config) -> Result<Client, LogError> {
    let mut builder = Builder::from_config(config.clone());
    builder
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIMEOUT;
            performance.broadcast_channel_capacity = MESSAGE_BUFFER;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = COMMAND_TIMEOUT;
            connection.internal_command_timeout = COMMAND_TIMEOUT;
            connection.max_command_attempts = ATTEMPTS;
            connection.max_command_buffer_len = WAITING_COMMANDS;
            connection.reconnect_on_auth_error = true;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
            // Silence is the watchdog's to notice: fred counts it from the last write.
            connection.unresponsive = UnresponsiveConfig::default();
        })
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 500, 2));
    Ok(builder.build()?)
}
