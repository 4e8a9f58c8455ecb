//! The Redis of the relays: the secrets coturn reads there, and what we keep beside them.
//!
//! The only place that names `redis`. coturn reads the set `turn/realm/<realm>/secret` at every new
//! session, and accepts what any member of it signed. Everything of ours begins with
//! `turncred/realm/<realm>/`.

mod control;
mod usage;

use std::fmt;
use std::time::Duration;

use redis::Script;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use service_kit::secrets::SecretText;

use crate::rotation::Ledger;

pub use control::Decisions;
pub use usage::{Bytes, Window};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the relays' Redis did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It is away, or refuses.
    #[error("the relays' Redis: {words}", words = reply(.0))]
    Redis(#[from] redis::RedisError),
    /// Somebody else wrote what is ours.
    #[error("the ledger in the relays' Redis cannot be read: {0}")]
    Ledger(#[from] serde_json::Error),
}

/// The reply of Redis. redis-rs drops it where `AUTH` is refused, which has this one cause for a user or a password.
fn reply(error: &redis::RedisError) -> String {
    match error.kind() {
        redis::ErrorKind::AuthenticationFailed => format!("WRONGPASS: {error}"),
        _ => error.to_string(),
    }
}

/// What a realm's secrets are at one moment.
#[derive(Clone)]
pub struct Snapshot {
    /// The members of the set.
    pub secrets: Vec<String>,
    /// What is noted about them.
    pub ledger: Option<Ledger>,
    /// The key that hides subjects.
    pub pseudonym_key: String,
    /// Seconds since 1970 by the clock of Redis.
    pub now: u64,
}

/// Shows no secret.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets = self.secrets.len();
        let mut shown = f.debug_struct("Snapshot");
        shown.field("secrets", &secrets).field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// The way there, which is made again when it breaks.
#[derive(Clone)]
pub struct RelayDb {
    client: redis::Client,
    connection: ConnectionManager,
    realm: String,
}

impl fmt::Debug for RelayDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayDb").field("realm", &self.realm).finish_non_exhaustive()
    }
}

impl RelayDb {
    /// Connects, for the secrets of one realm.
    ///
    /// # Errors
    /// When the URL is none, or nobody answers.
    pub async fn connect(url: &SecretText, realm: &str) -> Result<Self, DbError> {
        let client = redis::Client::open(url.expose())?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connection = client.get_connection_manager_with_config(config).await?;
        Ok(Self { client, connection, realm: realm.to_owned() })
    }

    fn secrets_key(&self) -> String {
        format!("turn/realm/{}/secret", self.realm)
    }

    fn own_key(&self, name: &str) -> String {
        format!("turncred/realm/{}/{name}", self.realm)
    }

    /// Reads everything about the secrets.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn read(&self) -> Result<Snapshot, DbError> {
        let script = Script::new(include_str!("read.lua"));
        let mut call = script.key(self.secrets_key());
        call.key(self.own_key("ledger")).key(self.own_key("pseudonym-key"));
        call.arg(service_kit::random::token() + &service_kit::random::token());
        let (secrets, ledger, pseudonym_key, now): (Vec<String>, String, String, u64) =
            call.invoke_async(&mut self.connection.clone()).await?;
        let ledger = (!ledger.is_empty()).then(|| serde_json::from_str(&ledger)).transpose()?;
        Ok(Snapshot { secrets, ledger, pseudonym_key, now })
    }

    /// Writes a ledger that follows version `after` (0: none), with the change of the set that it is about;
    /// false if somebody was faster.
    ///
    /// # Errors
    /// [`DbError`]; then it may have been written all the same.
    pub async fn commit(
        &self,
        after: u64,
        ledger: &Ledger,
        add: Option<&str>,
        remove: Option<&str>,
    ) -> Result<bool, DbError> {
        let script = Script::new(include_str!("commit.lua"));
        let mut call = script.key(self.secrets_key());
        call.key(self.own_key("ledger")).arg(after).arg(serde_json::to_string(ledger)?);
        call.arg(add.unwrap_or_default()).arg(remove.unwrap_or_default());
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }

    /// Takes a member out of the set of secrets that no ledger knows.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn remove(&self, secret: &str) -> Result<(), DbError> {
        let mut command = redis::cmd("SREM");
        command.arg(self.secrets_key()).arg(secret);
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }

    /// Takes the lead in something, or keeps it, for a while; false if another has it.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn lead(&self, what: &str, who: &str, lease: Duration) -> Result<bool, DbError> {
        let script = Script::new(include_str!("lead.lua"));
        let mut call = script.key(self.own_key(&format!("leader/{what}")));
        call.arg(who).arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }
}
