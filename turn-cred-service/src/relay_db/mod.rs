//! The relays' Redis: coturn's secrets, and the keys of this service beside them.
//!
//! The only module that names `redis`. coturn reads the set `turn/realm/<realm>/secret` for every
//! new session and accepts a credential signed by any member. The keys of this service begin with
//! `turncred/realm/<realm>/`.

mod decisions;
mod revoked;
mod usage;

use std::fmt;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, RedisConnectionInfo,
    Script, ServerErrorKind, TlsCertificates,
};
use service_kit::redis_access::{RedisAccess, Server};

use crate::rotation::Ledger;

pub use decisions::Decisions;
pub use usage::{ByteCounts, Window};

/// Timeout of one command.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Errors of the relays' Redis.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Unreachable, or the command or the user was rejected.
    #[error("the relays' Redis: {words}", words = reply(.0))]
    Redis(#[from] redis::RedisError),
    /// Another program wrote to the ledger's key.
    #[error("the ledger in the relays' Redis cannot be read: {0}")]
    Ledger(#[from] serde_json::Error),
}

impl DbError {
    /// Tells whether Redis cannot be reached or is loading its data, which ends by itself; a user, a password or a
    /// certificate that was rejected does not.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        let Self::Redis(error) = self else { return false };
        let is_away = matches!(
            error.kind(),
            ErrorKind::Io
                | ErrorKind::Server(
                    ServerErrorKind::BusyLoading
                        | ServerErrorKind::TryAgain
                        | ServerErrorKind::ClusterDown
                        | ServerErrorKind::MasterDown
                        | ServerErrorKind::ReadOnly
                )
        );
        // redis-rs reports faults of TLS as errors of the connection.
        is_away && !error.to_string().to_ascii_lowercase().contains("certificate")
    }
}

/// Returns the reply of Redis. redis-rs drops the reply when `AUTH` fails, which has this one
/// cause for a URL with user or password.
fn reply(error: &redis::RedisError) -> String {
    if error.kind() == redis::ErrorKind::AuthenticationFailed {
        return format!("WRONGPASS: {error}");
    }
    error.to_string()
}

/// The secrets of a realm, read in one script.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone)]
pub struct SecretsSnapshot {
    /// Members of the set that coturn reads.
    pub secrets: Vec<String>,
    /// The rotation ledger; `None` before the first instance wrote one.
    pub ledger: Option<Ledger>,
    pub pseudonym_key: String,
    /// Unix seconds by the clock of Redis.
    pub now: u64,
}

/// Prints no secret.
impl fmt::Debug for SecretsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets = self.secrets.len();
        let mut shown = f.debug_struct("Snapshot");
        shown.field("secrets", &secrets).field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// A connection that reconnects by itself.
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

fn client(access: &RedisAccess) -> Result<redis::Client, redis::RedisError> {
    let Server { host, port } = access.servers[0].clone();
    let address = match &access.tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    };
    let mut settings = RedisConnectionInfo::default().set_db(access.database.into());
    if let Some(username) = &access.login.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = access.login.password() {
        settings = settings.set_password(password.expose());
    }
    let info = address.into_connection_info()?.set_redis_settings(settings);
    let Some(certificates) = access.tls.clone() else { return redis::Client::open(info) };
    let client_tls = certificates
        .client
        .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    let certificates = TlsCertificates { client_tls, root_cert: certificates.authorities };
    redis::Client::build_with_tls(info, certificates)
}

impl RelayDb {
    /// Connects, for the keys of one realm.
    ///
    /// # Errors
    /// When a certificate is of no use or Redis does not answer.
    pub async fn connect(access: &RedisAccess, realm: &str) -> Result<Self, DbError> {
        let client = client(access)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connection = client.get_connection_manager_with_config(config).await?;
        Ok(Self { client, connection, realm: realm.to_owned() })
    }

    fn secrets_key(&self) -> String {
        format!("turn/realm/{}/secret", self.realm)
    }

    fn own_key(&self, name: &str) -> String {
        format!("turncred/realm/{}/{name}", self.realm)
    }

    /// Reads secrets, ledger, pseudonym key and time in one script, so that they belong to one
    /// moment. Creates the pseudonym key if there is none.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn read(&self) -> Result<SecretsSnapshot, DbError> {
        let script = Script::new(include_str!("read_secrets.lua"));
        let mut call = script.key(self.secrets_key());
        call.key(self.own_key("ledger")).key(self.own_key("pseudonym-key"));
        call.arg(service_kit::random::token() + &service_kit::random::token());
        let (secrets, ledger, pseudonym_key, now): (Vec<String>, String, String, u64) =
            call.invoke_async(&mut self.connection.clone()).await?;
        let ledger = (!ledger.is_empty()).then(|| serde_json::from_str(&ledger)).transpose()?;
        Ok(SecretsSnapshot { secrets, ledger, pseudonym_key, now })
    }

    /// Replaces the ledger of version `after` (0: none) and changes the set in the same script;
    /// false if the ledger has another version by now.
    ///
    /// # Errors
    /// [`DbError`]; the write may have happened nevertheless, so read again before the next
    /// attempt.
    pub async fn commit(
        &self,
        after: u64,
        ledger: &Ledger,
        add: Option<&str>,
        remove: Option<&str>,
    ) -> Result<bool, DbError> {
        let script = Script::new(include_str!("commit_ledger.lua"));
        let mut call = script.key(self.secrets_key());
        call.key(self.own_key("ledger")).arg(after).arg(serde_json::to_string(ledger)?);
        call.arg(add.unwrap_or_default()).arg(remove.unwrap_or_default());
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }

    /// Removes a member of the set that no ledger names.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn remove(&self, secret: &str) -> Result<(), DbError> {
        let mut command = redis::cmd("SREM");
        command.arg(self.secrets_key()).arg(secret);
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }

    /// Takes or renews a lease; false while another process holds it.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn acquire_lease(
        &self,
        what: &str,
        who: &str,
        lease: Duration,
    ) -> Result<bool, DbError> {
        let script = Script::new(include_str!("acquire_lease.lua"));
        let mut call = script.key(self.own_key(&format!("leader/{what}")));
        call.arg(who).arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }
}
