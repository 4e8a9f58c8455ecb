//! What the suite itself asks Redis, past the proxies.

use std::net::SocketAddr;
use std::time::Duration;

pub(super) use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Value};
use tokio::time::{Instant, sleep};

use super::process::{PATIENCE, ProcessError};

/// Longer than a snapshot of the suite's rooms takes on a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// `INFO` has nothing to wait for; it is asked so often.
const ASK_EVERY: Duration = Duration::from_millis(20);

async fn connect(address: SocketAddr) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    let client = Client::open(format!("redis://{address}"))?;
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Runs one command and expects no error.
pub(super) async fn run(address: SocketAddr, words: &[&str]) -> Result<(), ProcessError> {
    ask::<Value>(address, words).await.map(drop)
}

/// Runs one command and returns its answer.
pub(super) async fn ask<T: FromRedisValue>(
    address: SocketAddr,
    words: &[&str],
) -> Result<T, ProcessError> {
    let failed = |error: RedisError| ProcessError::Command(words.join(" "), error.to_string());
    let mut connection = connect(address).await.map_err(failed)?;
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(&mut connection).await.map_err(failed)
}

/// Waits until `INFO` says all of these.
pub(super) async fn says(
    address: SocketAddr,
    section: &str,
    lines: &[&str],
) -> Result<(), ProcessError> {
    let failed =
        |error: String| ProcessError::Command(format!("INFO until {}", lines.join(", ")), error);
    let mut connection = connect(address).await.map_err(|error| failed(error.to_string()))?;
    let begun = Instant::now();
    loop {
        let asked = redis::cmd("INFO").arg(section).query_async::<String>(&mut connection).await;
        let text = asked.map_err(|error| failed(error.to_string()))?;
        if lines.iter().all(|wanted| text.lines().any(|line| line == *wanted)) {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(failed(text));
        }
        sleep(ASK_EVERY).await;
    }
}

async fn all_keys(connection: &mut MultiplexedConnection) -> RedisResult<Vec<String>> {
    redis::cmd("KEYS").arg("*").query_async(connection).await
}

/// The keys that never end.
pub(super) async fn endless_keys(address: SocketAddr) -> Result<Vec<String>, ProcessError> {
    let failed = |error: RedisError| ProcessError::Command("KEYS *".to_owned(), error.to_string());
    let mut connection = connect(address).await.map_err(failed)?;
    let keys = all_keys(&mut connection).await.map_err(failed)?;
    let mut all = redis::pipe();
    for key in &keys {
        all.cmd("PTTL").arg(key);
    }
    let lives: Vec<i64> = all.query_async(&mut connection).await.map_err(failed)?;
    let endless = keys.into_iter().zip(lives).filter(|(_, life)| *life == -1);
    Ok(endless.map(|(key, _)| key).collect())
}

/// Deletes about half of all keys, drawn by a seed and their names.
pub(super) async fn lose_keys(address: SocketAddr, seed: u64) -> Result<(), ProcessError> {
    let failed = |error: RedisError| ProcessError::Command("UNLINK".to_owned(), error.to_string());
    let mut connection = connect(address).await.map_err(failed)?;
    let keys = all_keys(&mut connection).await.map_err(failed)?;
    let lost: Vec<_> = keys.iter().filter(|key| is_lost(seed, key)).collect();
    if lost.is_empty() {
        return Ok(());
    }
    redis::cmd("UNLINK").arg(&lost).query_async(&mut connection).await.map_err(failed)
}

fn is_lost(seed: u64, key: &str) -> bool {
    let mixed = key.bytes().fold(seed, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
    fastrand::Rng::with_seed(mixed).bool()
}
