//! Opens the signing keys, from the settings or from the relays' Redis, and waits for a Redis that is away.

use std::time::Duration;

use service_kit::http::Health;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::config::{CredentialSettings, DbSettings, KeySettings};
use crate::issuer::Keys;
use crate::relay_db::{DbError, RelayDb};
use crate::rotation::SecretRotator;
use crate::usage::UsageDb;

/// Pause before a Redis that is unavailable is tried again. An attempt takes up to ten seconds where packets are lost.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The keys, and the connection they were read through.
#[derive(Debug)]
pub struct KeyStore {
    /// Signing and pseudonym keys.
    pub keys: Keys,
    /// Present when the keys live in Redis: keeps them in step with the rotation ledger.
    pub rotator: Option<SecretRotator>,
    /// Present when `redis_url` is set.
    pub usage: Option<UsageDb>,
}

impl KeyStore {
    /// Opens the keys, and waits while the relays' Redis is unavailable: the service is not ready meanwhile.
    ///
    /// # Errors
    /// Any but those that end by themselves.
    pub(crate) async fn wait(
        settings: &CredentialSettings,
        health: &Health,
    ) -> Result<Self, DbError> {
        let mut is_first = true;
        loop {
            let error = match Self::open(settings).await {
                Err(error) if error.is_unavailable() => error,
                opened => {
                    if !is_first && opened.is_ok() {
                        info!("the relays' Redis has been reached: the service serves");
                    }
                    return opened;
                }
            };
            report_waiting(health, &error, std::mem::take(&mut is_first));
            sleep(CONNECT_AGAIN_AFTER).await;
        }
    }

    /// Connects to the relays' Redis if one is configured, and reads the keys from there unless the
    /// settings contain them.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    ///
    /// # Panics
    /// Never: the settings contain keys or a Redis URL.
    pub async fn open(settings: &CredentialSettings) -> Result<Self, DbError> {
        let usage = match &settings.db {
            Some(DbSettings { access, realm, budget }) => {
                Some(UsageDb { db: RelayDb::connect(access, realm).await?, budget: *budget })
            }
            None => None,
        };
        match &settings.keys {
            KeySettings::Own(keys) => Ok(Self { keys: keys.clone(), rotator: None, usage }),
            KeySettings::Managed { pseudonyms } => {
                let relay_db = usage.as_ref().map(|usage| usage.db.clone());
                let relay_db = relay_db.expect("without a secret the settings have a Redis URL");
                let rotator =
                    SecretRotator::open(relay_db, settings.policy, pseudonyms.clone()).await?;
                Ok(Self { keys: rotator.keys(), rotator: Some(rotator), usage })
            }
        }
    }
}

/// Reports to probes why the service does not serve, and logs it once.
fn report_waiting(health: &Health, error: &DbError, is_first: bool) {
    health.not_ready(format!("waiting for the relays' Redis, which is unavailable: {error}"));
    if is_first {
        warn!(
            "waiting for the relays' Redis, which is unavailable: {error}; if it should run, look at its address in \
             TURN_CRED_REDIS_URL, its name in DNS and the network"
        );
    } else {
        debug!("still waiting for the relays' Redis: {error}");
    }
}
