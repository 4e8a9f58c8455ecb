//! The accept loop, and the bounds of one connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::listener::{Accepted, Listener};
use super::tls::Tls;
use crate::tokens::MAX_TOKEN_BYTES;

/// Most headers of a request; more get 431.
pub const MAX_HEADERS: usize = 64;
/// Timeout for the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Read buffer per connection; also bounds the request line and headers, of which a token is the longest
/// ([`MAX_TOKEN_BYTES`]). One that is somewhat longer gets an error that says so instead of 431.
const MAX_BUFFER_BYTES: usize = 2 * MAX_TOKEN_BYTES;
/// Pause after a failed accept: a process out of file descriptors must not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` until `shutdown`, then lets requests in flight finish.
///
/// Requests over TCP carry `ConnectInfo<SocketAddr>`. Upgraded connections (WebSocket) continue in
/// their own tasks, which this future does not wait for.
pub async fn serve(listener: Listener, router: Router, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok(Accepted::Tcp(stream, peer)) => {
                let (router, shutdown) = (router.clone(), shutdown.clone());
                match listener.tls() {
                    None => {
                        connections.spawn(serve_connection(stream, Some(peer), router, shutdown))
                    }
                    Some(tls) => {
                        connections.spawn(serve_tls(tls.clone(), stream, peer, (router, shutdown)))
                    }
                };
            }
            Ok(Accepted::Unix(stream)) => {
                let connection = serve_connection(stream, None, router.clone(), shutdown.clone());
                connections.spawn(connection);
            }
            Err(error) => pause_after_accept_error(&error).await,
        }
    }
    drop(listener); // from here on the operating system refuses new connections
    connections.close();
    connections.wait().await;
}

/// Performs the TLS handshake, then serves the connection.
async fn serve_tls(
    tls: Tls,
    stream: TcpStream,
    peer: SocketAddr,
    (router, shutdown): (Router, CancellationToken),
) {
    let secured = shutdown.run_until_cancelled(tls.accept(stream)).await.flatten();
    let Some(stream) = secured else {
        return debug!("a TLS handshake failed");
    };
    serve_connection(stream, Some(peer), router, shutdown).await;
}

async fn serve_connection<S>(
    stream: S,
    peer: Option<SocketAddr>,
    router: Router,
    shutdown: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!("a connection ended early: {error}");
    }
}

/// Pauses after errors that an immediate retry would repeat: out of file descriptors or memory.
async fn pause_after_accept_error(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        return; // that one peer is gone
    }
    warn!("cannot accept connections: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
