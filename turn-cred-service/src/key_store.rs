//! The keys in hand, wherever they come from.

use crate::config::{CredentialSettings, KeySettings};
use crate::issuer::Keys;
use crate::relay_db::{DbError, RelayDb};
use crate::rotation::SecretRotator;

/// Keys, and what they were reached through.
#[derive(Debug)]
pub struct KeyStore {
    /// The keys.
    pub keys: Keys,
    /// Who keeps them in step with the relays' Redis, where they are there.
    pub rotator: Option<SecretRotator>,
    /// The relays' Redis, if it is known.
    pub db: Option<RelayDb>,
}

impl KeyStore {
    /// Connects to the relays' Redis, if it is known, and takes the keys from there unless they are set.
    ///
    /// # Errors
    /// When it cannot be reached.
    ///
    /// # Panics
    /// Never: the settings have keys of their own or a Redis.
    pub async fn open(settings: &CredentialSettings) -> Result<Self, DbError> {
        let db = match &settings.db {
            Some(settings) => Some(RelayDb::connect(&settings.url, &settings.realm).await?),
            None => None,
        };
        match &settings.keys {
            KeySettings::Own(keys) => Ok(Self { keys: keys.clone(), rotator: None, db }),
            KeySettings::Managed { pseudonyms } => {
                let relay_db = db.clone().expect("keys that are not set are in Redis");
                let rotator =
                    SecretRotator::open(relay_db, settings.policy, pseudonyms.clone()).await?;
                Ok(Self { keys: rotator.keys(), rotator: Some(rotator), db })
            }
        }
    }
}
