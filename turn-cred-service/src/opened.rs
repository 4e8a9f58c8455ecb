//! The keys in hand, wherever they come from.

use crate::config::{Ground, KeySettings};
use crate::issuer::Keys;
use crate::relay_db::{DbError, RelayDb};
use crate::rotation::Keeper;

/// Keys, and what they were reached through.
#[derive(Debug)]
pub struct Opened {
    /// The keys.
    pub keys: Keys,
    /// Who keeps them in step with the relays' Redis, where they are there.
    pub keeper: Option<Keeper>,
    /// The relays' Redis, if it is known.
    pub db: Option<RelayDb>,
}

impl Opened {
    /// Connects to the relays' Redis, if it is known, and takes the keys from there unless they are set.
    ///
    /// # Errors
    /// When it cannot be reached.
    ///
    /// # Panics
    /// Never: the settings have keys of their own or a Redis.
    pub async fn open(ground: &Ground) -> Result<Self, DbError> {
        let db = match &ground.db {
            Some(settings) => Some(RelayDb::connect(&settings.url, &settings.realm).await?),
            None => None,
        };
        match &ground.keys {
            KeySettings::Own(keys) => Ok(Self { keys: keys.clone(), keeper: None, db }),
            KeySettings::Managed { pseudonyms } => {
                let there = db.clone().expect("keys that are not set are in Redis");
                let keeper = Keeper::open(there, ground.policy, pseudonyms.clone()).await?;
                Ok(Self { keys: keeper.keys(), keeper: Some(keeper), db })
            }
        }
    }
}
