//! How a client gets to a node: over TCP, or over whatever a simulation puts in its place.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::future::BoxFuture;
use service_kit::clock;
use service_kit::tokens::{Claims, Right, mint};
use signal_client::transport::{Socket, Wire};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::cluster::SECRET;

/// The ways into a cluster, one per node.
pub trait Endpoints: Send + Sync + 'static {
    /// How many there are.
    fn count(&self) -> usize;

    /// Opens a WebSocket to the node behind an endpoint.
    fn dial(&self, endpoint: usize, token: String) -> BoxFuture<'static, Result<Socket, Error>>;
}

impl Endpoints for Vec<SocketAddr> {
    fn count(&self) -> usize {
        self.len()
    }

    fn dial(&self, endpoint: usize, token: String) -> BoxFuture<'static, Result<Socket, Error>> {
        let address = self[endpoint];
        Box::pin(async move { dial(address, &token).await })
    }
}

/// Opens a WebSocket to a node over TCP.
///
/// # Errors
/// When the node or something on the way refuses.
pub async fn dial(address: SocketAddr, token: &str) -> Result<Socket, Error> {
    upgrade(TcpStream::connect(address).await?, address, token).await
}

/// Opens a WebSocket to a node over TCP from one of the addresses of this machine, such as all of 127.0.0.0/8.
///
/// # Errors
/// When the address is none of this machine, or the node refuses.
pub async fn dial_from(from: Ipv4Addr, address: SocketAddr, token: &str) -> Result<Socket, Error> {
    upgrade(connect_from(from, address).await?, address, token).await
}

/// Opens a TCP connection from one of the addresses of this machine.
///
/// # Errors
/// When the address is none of this machine, or the other side refuses.
pub async fn connect_from(from: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(address).await
}

async fn upgrade(stream: TcpStream, address: SocketAddr, token: &str) -> Result<Socket, Error> {
    let mut request = format!("ws://{address}/v1/ws").into_client_request()?;
    let offered = HeaderValue::from_str(&format!("signal.v1, bearer.{token}"))?;
    request.headers_mut().insert("sec-websocket-protocol", offered);
    stream.set_nodelay(true)?;
    let wire: Box<dyn Wire> = Box::new(stream);
    Ok(client_async(request, wire).await?.0)
}

/// A token that opens every room to this subject for a day.
#[must_use]
pub fn token(subject: &str) -> String {
    token_with(subject, &[Right::Signal])
}

/// A token whose holder may also remove others.
#[must_use]
pub fn moderator_token(subject: &str) -> String {
    token_with(subject, &[Right::Signal, Right::Moderate])
}

/// A token whose holder administers every room.
#[must_use]
pub fn admin_token(subject: &str) -> String {
    token_with(subject, &[Right::Admin])
}

fn token_with(subject: &str, rights: &[Right]) -> String {
    let mut claims = Claims::new(subject, clock::unix_seconds() + 86_400);
    claims.rooms = vec!["*".to_owned()];
    claims.can = rights.to_vec();
    mint(&claims, SECRET.as_bytes())
}
