//! The settings that credentials are made from: keys, relays and TTLs.

use std::time::Duration;

use service_kit::redis_access::{RedisAccess, Topology};
use service_kit::secrets::SecretSource;
use service_kit::settings::Reader;

use super::pools::read_pools;
use crate::issuer::Keys;
use crate::pool::Pools;
use crate::relay::{ConnectOptions, TrustStore};
use crate::rotation::RotationPolicy;
use crate::ttl::TtlSettings;
use crate::usage::Budget;

/// Source of the keys shared with the relays.
#[derive(Clone, Debug)]
pub enum KeySettings {
    /// From the settings or a watched file.
    Own(Keys),
    /// From the relays' Redis, where `SecretRotator` rotates them.
    Managed {
        /// Keys the pseudonyms; without it a random key in Redis does.
        pseudonyms: Option<SecretSource>,
    },
}

/// Location of the relays' Redis.
#[derive(Clone, Debug)]
pub struct DbSettings {
    /// May contain a password.
    pub access: RedisAccess,
    /// coturn's realm, part of every key in Redis.
    pub realm: String,
    /// What a subject may relay, by the usage that coturn reports there.
    pub budget: Option<Budget>,
}

/// The subset of the settings that `serve`, `mint`, `rotate` and `doctor` share.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug)]
pub struct CredentialSettings {
    pub keys: KeySettings,
    pub db: Option<DbSettings>,
    pub policy: RotationPolicy,
    pub pools: Option<Pools>,
    pub trust: TrustStore,
    pub ttl_settings: TtlSettings,
}

impl CredentialSettings {
    /// Reads the subset; `None` after a fault.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let ttl_settings = read_ttl_settings(reader);
        let access = RedisAccess::read(reader);
        let realm = reader.text("realm");
        if access.as_ref().is_some_and(|access| access.topology != Topology::Single) {
            reader.fault(
                "redis_url",
                "names several servers: coturn uses one, write redis[s]://HOST",
            );
        }
        let budget = reader.optional_parse("budget_per_subject");
        if budget.is_some() && access.is_none() {
            reader.fault(
                "budget_per_subject",
                "needs TURN_CRED_REDIS_URL, where coturn reports usage",
            );
        }
        let db = access.map(|access| DbSettings { access, realm, budget });
        let every = reader.optional_duration("rotate_every");
        let policy = RotationPolicy {
            every,
            max_ttl: ttl_settings.max,
            skew: reader.duration("clock_skew"),
        };
        let keys = read_keys(reader);
        let pools = read_pools(reader);
        let trust = TrustStore::read(reader);
        Some(Self { keys: keys?, db, policy, pools, trust, ttl_settings })
    }

    /// Returns the options for connecting to relays with this timeout per step.
    #[must_use]
    pub fn connect_options(&self, step_timeout: Duration) -> ConnectOptions {
        ConnectOptions { step_timeout, trust: self.trust.clone() }
    }
}

/// Reads the source of the keys; neither a secret nor a Redis URL is a fault.
fn read_keys(reader: &mut Reader<'_>) -> Option<KeySettings> {
    let pseudonyms = reader.secrets("pseudonym_key");
    if reader.is_set("secret") {
        if reader.is_set("rotate_every") {
            reader
                .fault("rotate_every", "applies to secrets in Redis only: unset TURN_CRED_SECRET");
        }
        let signing = reader.secrets("secret")?;
        return Some(KeySettings::Own(Keys { signing, pseudonyms }));
    }
    if reader.is_set("redis_url") {
        return Some(KeySettings::Managed { pseudonyms });
    }
    let others = "or its …_FILE, or TURN_CRED_REDIS_URL, where coturn has its secrets";
    reader.fault("secret", format_args!("is needed: the secret shared with the relays, {others}"));
    None
}

/// Reads and compares `ttl` and `max_ttl`.
fn read_ttl_settings(reader: &mut Reader<'_>) -> TtlSettings {
    let default = reader.duration("ttl");
    let max = reader.optional_duration("max_ttl").unwrap_or(default);
    if default < Duration::from_secs(1) {
        reader.fault("ttl", "is less than 1s");
    }
    if max < default {
        reader.fault("max_ttl", "is less than ttl");
    }
    TtlSettings { default, max: max.max(default) }
}
