//! Opens the signing keys, from the settings or from the relays' Redis.

use crate::config::{CredentialSettings, DbSettings, KeySettings};
use crate::issuer::Keys;
use crate::relay_db::{DbError, RelayDb};
use crate::rotation::SecretRotator;
use crate::usage::UsageDb;

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
