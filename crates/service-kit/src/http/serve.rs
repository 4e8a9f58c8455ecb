//! The accept loop, and the bounds of one connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
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

use super::bounds::{ConnectionCounter, CountedConnection};
use super::deadlines::{AnswerWatch, within_deadline};
use super::listener::{Accepted, Listener};
use super::problem::Problem;
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
    let connections = accept_until(&listener, router, shutdown).await;
    drop(listener); // from here on the operating system refuses new connections
    connections.close();
    connections.wait().await;
}

/// Has the connection end with this response (RFC 9112 §9.6).
pub fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Serves `router` until `work` has ended, and returns its output. The listener stays bound, for another router.
///
/// Requests in flight finish by themselves.
pub async fn serve_while<T>(
    listener: &Listener,
    router: Router,
    work: impl Future<Output = T>,
) -> T {
    let ended = CancellationToken::new();
    // Ends the connections, also when this future is dropped.
    let guard = ended.clone().drop_guard();
    let work = async {
        let output = work.await;
        drop(guard);
        output
    };
    tokio::join!(work, accept_until(listener, router, ended)).0
}

/// Accepts connections until `shutdown`, which ends each of them after its request in flight.
async fn accept_until(
    listener: &Listener,
    router: Router,
    shutdown: CancellationToken,
) -> TaskTracker {
    let connections = TaskTracker::new();
    let counter = ConnectionCounter::new(listener.bounds().clone());
    let accept = async || {
        let permit = counter.wait().await;
        (permit, listener.accept().await)
    };
    while let Some((permit, accepted)) = shutdown.run_until_cancelled(accept()).await {
        let (router, shutdown) = (router.clone(), shutdown.clone());
        match accepted {
            Ok(Accepted::Tcp(stream, peer)) => {
                match (counter.count(permit, Some(peer)), listener.tls()) {
                    (None, tls) => refuse(&stream, tls.is_some()),
                    (Some(slot), None) => {
                        connections.spawn(serve_connection(
                            stream,
                            Some(peer),
                            (router, shutdown),
                            slot,
                        ));
                    }
                    (Some(slot), Some(tls)) => {
                        let served = serve_tls(tls.clone(), stream, peer, (router, shutdown), slot);
                        connections.spawn(served);
                    }
                }
            }
            Ok(Accepted::Unix(stream)) => {
                if let Some(slot) = counter.count(permit, None) {
                    connections.spawn(serve_connection(stream, None, (router, shutdown), slot));
                }
            }
            Err(error) => pause_after_accept_error(&error).await,
        }
    }
    connections
}

/// Performs the TLS handshake, then serves the connection.
async fn serve_tls(
    tls: Tls,
    stream: TcpStream,
    peer: SocketAddr,
    served: (Router, CancellationToken),
    slot: CountedConnection,
) {
    let secured = served.1.run_until_cancelled(tls.accept(stream)).await.flatten();
    let Some(stream) = secured else {
        return debug!("a TLS handshake failed");
    };
    serve_connection(stream, Some(peer), served, slot).await;
}

async fn serve_connection<S>(
    stream: S,
    peer: Option<SocketAddr>,
    (router, shutdown): (Router, CancellationToken),
    slot: CountedConnection,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answers = Arc::new(AnswerWatch::new());
    let noted = answers.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        noted.handling();
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let (router, noted) = (router.clone(), noted.clone());
        async move {
            let answer = if one_host(&request) {
                router.oneshot(request.map(within_deadline)).await
            } else {
                Ok(two_hosts())
            };
            noted.answering();
            answer
        }
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
        ended = connection.as_mut() => Some(ended),
        () = answers.overdue() => None,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => Some(ended),
                () = answers.overdue() => None,
            }
        }
    };
    drop(slot);
    match ended {
        None => debug!("a client did not take its answer in time"),
        Some(Err(error)) => debug!("a connection ended early: {error}"),
        Some(Ok(())) => {}
    }
}

/// Tells whether a request names one host at most (RFC 9112 §3.2): of two, a proxy and this service may believe
/// different ones.
fn one_host(request: &Request<Incoming>) -> bool {
    request.headers().get_all(HOST).iter().count() <= 1
}

fn two_hosts() -> Response {
    let text = "the request has more than one Host header";
    Problem::new(StatusCode::BAD_REQUEST, "bad_request").detail(text).into_response()
}

/// Answers a connection too many of its address, as far as that takes no time.
fn refuse(stream: &TcpStream, secure: bool) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\n\
        Content-Length: 0\r\n\r\n";
    if !secure {
        // A client that does not hear why is closed all the same.
        let _ = stream.try_write(ANSWER);
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
