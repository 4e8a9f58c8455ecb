//! How often the connections were made again: each time the log may be another one, or an older one.

use fred::clients::Client;
use fred::interfaces::EventInterface as _;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

/// Counts how often a connection was made again, by fred or by the watchdog.
pub(super) async fn count(mut clients: watch::Receiver<Client>, reconnects: watch::Sender<u64>) {
    loop {
        let mut connected = clients.borrow_and_update().reconnect_rx();
        let replaced = loop {
            tokio::select! {
                server = connected.recv() => match server {
                    Ok(_) | Err(RecvError::Lagged(_)) => reconnects.send_modify(|count| *count += 1),
                    Err(RecvError::Closed) => break clients.changed().await,
                },
                replaced = clients.changed() => break replaced,
            }
        };
        if replaced.is_err() {
            return;
        }
        reconnects.send_modify(|count| *count += 1);
    }
}
