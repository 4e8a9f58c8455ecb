//! Waiting for what sends no event: Redis, its clusters and metrics must be asked again and again.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Asks until the answer is `true`; a test that waits for longer than `limit` has failed.
pub(crate) async fn becomes_true(
    what: &str,
    limit: Duration,
    mut asked: impl AsyncFnMut() -> bool,
) {
    let polling = async {
        while !asked().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(limit, polling).await.is_ok(), "{what} within {limit:?}");
}
