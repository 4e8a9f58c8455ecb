//! The accept loop and what bounds one connection.

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

/// The most headers one request may have; more get 431.
pub const MAX_HEADERS: usize = 64;
/// How long the headers of a request may take to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes read ahead per connection, which also bounds the head of a request.
const MAX_BUFFER_BYTES: usize = 16 << 10;
/// The pause after a failed accept, so that a process out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` on `listener` until `shutdown`, then lets requests under way end.
///
/// Requests carry `ConnectInfo<SocketAddr>` when they came by TCP. Upgraded connections
/// (WebSocket sessions) live on in their own tasks and are not waited for.
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

/// Serves the requests of one connection once it is secured.
async fn serve_tls(
    tls: Tls,
    stream: TcpStream,
    peer: SocketAddr,
    (router, shutdown): (Router, CancellationToken),
) {
    let secured = shutdown.run_until_cancelled(tls.accept(stream)).await.flatten();
    let Some(stream) = secured else {
        return debug!("a connection came to no TLS handshake");
    };
    serve_connection(stream, Some(peer), router, shutdown).await;
}

/// Serves the requests of one connection.
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

/// Waits a moment where trying again at once would fail again: out of descriptors or memory.
async fn pause_after_accept_error(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        return; // that one peer is gone
    }
    warn!("cannot accept connections: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
