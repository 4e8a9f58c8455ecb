//! Whether a Redis can hold rooms at all. Found at the start, with what to do about it, rather than at the first join.

use fred::clients::Client;
use fred::interfaces::{ClientLike as _, PubsubInterface as _};
use tracing::warn;

use super::keys::KeySpace;
use super::publishing::Publishing;
use super::shards::Shards;
use crate::log::LogError;

/// The first version that has what the scripts need: `PEXPIRE … GT`, and sharded pub/sub.
const NEEDED: u32 = 7;

/// The policy of a Redis that forgets nothing.
const NO_EVICTION: &str = "noeviction";

/// What a Redis tells about itself, as far as its user may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its version.
    pub version: Option<String>,
    /// What it does when its memory is full (`maxmemory-policy`).
    pub eviction: Option<String>,
    /// How many bytes it may use; 0 or nothing is no bound.
    pub max_memory: Option<u64>,
    /// Whether it still reads its data from disk, and answers no command about keys.
    pub is_loading: bool,
}

impl Facts {
    pub(super) async fn of(client: &Client) -> Self {
        // A user that may not ask is no reason not to start.
        Self::read(&client.info::<String>(None).await.unwrap_or_default())
    }

    fn read(info: &str) -> Self {
        let find = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
        };
        Self {
            version: find("redis_version:"),
            eviction: find("maxmemory_policy:"),
            max_memory: find("maxmemory:").and_then(|bytes| bytes.parse().ok()),
            is_loading: find("loading:").as_deref() == Some("1"),
        }
    }

    /// The first part of its version.
    #[must_use]
    pub fn major(&self) -> Option<u32> {
        self.version.as_ref()?.split('.').next()?.parse().ok()
    }

    /// Tells whether it is older than what the scripts need.
    #[must_use]
    pub fn is_too_old(&self) -> bool {
        self.major().is_some_and(|major| major < NEEDED)
    }

    /// Says why rooms cannot be kept there, and what to do.
    fn unsuitable(&self) -> Option<String> {
        if let Some(version) = self.version.as_ref().filter(|_| self.is_too_old()) {
            return Some(format!(
                "it is of version {version}: rooms need Redis {NEEDED}.0 or newer"
            ));
        }
        let policy = self.eviction.as_ref().filter(|policy| *policy != NO_EVICTION)?;
        let max_memory = self.max_memory.filter(|bytes| *bytes > 0)?;
        Some(format!(
            "it evicts keys once it uses {max_memory} bytes (maxmemory-policy {policy}), and so would forget rooms \
             that are in use: set maxmemory-policy {NO_EVICTION}, or keep rooms in a Redis of their own"
        ))
    }
}

/// Checks what each server tells of itself, and that rooms can be published as they have to be.
pub(super) async fn check(
    shards: &Shards,
    publishing: Publishing,
    names: &KeySpace,
) -> Result<(), LogError> {
    for shard in shards.all() {
        let is_loading = check_server(&shard.commands.client()).await?;
        // Of a cluster the rooms of the other servers can be used meanwhile.
        if is_loading && !shards.is_cluster() {
            return Err(LogError::Unavailable("LOADING Redis reads its data from disk".to_owned()));
        }
    }
    if publishing == Publishing::Sharded { check_sharded(shards, names).await } else { Ok(()) }
}

/// Checks one server, and tells whether it is loading.
async fn check_server(client: &Client) -> Result<bool, LogError> {
    let facts = Facts::of(client).await;
    if let Some(why) = facts.unsuitable() {
        return Err(LogError::Unsuitable(why));
    }
    if let Some(policy) = facts.eviction.filter(|policy| policy != NO_EVICTION) {
        warn!(
            "Redis evicts keys as soon as it has a maxmemory (maxmemory-policy {policy}): set it to {NO_EVICTION}, or \
             rooms get lost"
        );
    }
    Ok(facts.is_loading)
}

/// Publishes an empty message on a channel that no room has: a proxy in between, or a server of another make, may not
/// know `SPUBLISH`.
async fn check_sharded(shards: &Shards, names: &KeySpace) -> Result<(), LogError> {
    let channel = names.channel(&"signal-probe".parse().expect("of the alphabet"));
    // Of a cluster that is not whole no server may hold that slot, which may be over when rooms are used.
    let Ok(shard) = shards.of(&channel) else { return Ok(()) };
    let client = shard.commands.client();
    match client.spublish::<i64, _, _>(channel, "").await {
        Err(error) if error.details().to_lowercase().contains("unknown command") => {
            Err(LogError::Unsuitable(
                "it does not know SPUBLISH (sharded pub/sub): set SIGNAL_NODE_REDIS_PUBLISHING=plain, except with \
                 Redis Cluster"
                    .to_owned(),
            ))
        }
        // Any other fault shows in the same way when rooms are used, and may be over by then.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(version: &str, policy: &str, max_memory: u64) -> Facts {
        Facts::read(&format!(
            "# Server\r\nredis_version:{version}\r\nmaxmemory:{max_memory}\r\nmaxmemory_human:1K\r\nmaxmemory_policy:{policy}\r\n"
        ))
    }

    #[test]
    fn a_redis_that_reads_its_data_from_disk_says_so() {
        assert!(Facts::read("# Persistence\r\nloading:1\r\nasync_loading:0\r\n").is_loading);
        assert!(!Facts::read("# Persistence\r\nloading:0\r\nasync_loading:1\r\n").is_loading);
    }

    #[test]
    fn a_redis_that_cannot_hold_rooms_is_refused_with_what_to_do() {
        assert!(facts("6.2.14", NO_EVICTION, 0).unsuitable().unwrap().contains("7.0 or newer"));
        let evicts = facts("7.2.4", "allkeys-lru", 1_000).unsuitable().unwrap();
        assert!(evicts.contains("set maxmemory-policy noeviction"), "{evicts}");
        for fine in [
            facts("7.0.15", NO_EVICTION, 1_000),
            facts("8.0.1", "volatile-lru", 0),
            Facts::default(),
        ] {
            assert_eq!(fine.unsuitable(), None, "{fine:?}");
        }
    }
}
