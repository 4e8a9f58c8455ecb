//! Logs that Redis rejects the node's user, in the server's own words.
//!
//! fred reconnects for as long as the password is refused, and commands only time out meanwhile, so that the
//! cause is in nothing but its channel of errors. `NOPERM` is the answer to a heartbeat, on a good connection.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::EventInterface as _;
use fred::types::config::Server;
use service_kit::redis_access::RejectionLog;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tracing::error;

/// Logs the rejections among the errors of a connection, of one client after the other, until it is dropped.
pub(super) async fn follow(mut clients: watch::Receiver<Client>, rejections: Arc<RejectionLog>) {
    loop {
        let errors = clients.borrow_and_update().error_rx();
        tokio::select! {
            () = log_all(errors, &rejections) => {
                // The client has ended, and is replaced in a moment.
                if clients.changed().await.is_err() {
                    return;
                }
            }
            changed = clients.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

async fn log_all(mut errors: Receiver<(Error, Option<Server>)>, rejections: &RejectionLog) {
    loop {
        match errors.recv().await {
            Ok((error, _)) => log(&error, rejections),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Logs `error` if it is a rejection that was not logged just now.
pub(super) fn log(error: &impl Display, rejections: &RejectionLog) {
    let error = error.to_string();
    if let Some(advice) = rejections.advice_to_log(&error, Instant::now()) {
        error!(error, "Redis rejects this node (SIGNAL_NODE_REDIS_URL): {error}: {advice}");
    }
}
