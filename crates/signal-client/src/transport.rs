//! A WebSocket to a node: over TCP or TLS, or over whatever else carries bytes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustls_platform_verifier::ConfigVerifierExt as _;
use signal_protocol::SUBPROTOCOL;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, RETRY_AFTER};
use tokio_tungstenite::tungstenite::http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri,
};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::core::Token;

/// Another connection is opened beside those that have not opened within this time: the node behind them may be stopped,
/// or the path to it dead (in the manner of RFC 8305 §5, at the pace of handshakes).
const ANOTHER_AFTER: Duration = Duration::from_secs(1);
/// Connections that are opened at once at most: of three nodes one may be lost, and a balancer may choose it each time.
const MOST_AT_ONCE: usize = 5;
/// The end of a socket without a close frame (RFC 6455 §7.1.5).
pub(crate) const ABNORMAL: u16 = 1006;
/// TLS failed (the same).
const TLS_FAILED: u16 = 1015;

/// A stream of bytes in both directions.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A WebSocket to a node.
pub type Socket = WebSocketStream<Box<dyn Wire>>;

/// Why a client cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// It does not parse.
    #[error("{0:?} is not a URL: {1}")]
    NotAUrl(String, String),
    /// It begins with something else.
    #[error("{0:?} does not begin with ws://, wss://, http:// or https://")]
    Scheme(String),
    /// There is none.
    #[error("no address was given: name the URL of a node, such as wss://signal.example.org")]
    None,
    /// A header of the upgrade has a name or a value that HTTP does not allow.
    #[error("the header {0:?} has a name or a value that HTTP does not allow")]
    Header(String),
    /// The certificates of this machine cannot be used.
    #[error("the certificates of this machine cannot be read: {0}")]
    Certificates(String),
}

/// Why no socket was opened.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unopened {
    /// A close code: 1015 if TLS failed, 1006 if there is none. Or the HTTP status with which the upgrade was answered.
    pub code: u16,
    pub message: String,
    /// How long the node asked to wait.
    pub retry_after: Option<Duration>,
}

impl Unopened {
    fn new(message: String) -> Self {
        Self { code: ABNORMAL, message, retry_after: None }
    }

    fn by_tls(error: &dyn std::error::Error) -> Self {
        Self { code: TLS_FAILED, message: format!("TLS: {error}"), retry_after: None }
    }

    fn refused<T>(response: &Response<T>) -> Self {
        let status = response.status().as_u16();
        let seconds = response.headers().get(RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
        let message = format!("the upgrade to a WebSocket was answered {status}");
        Self { code: status, message, retry_after: seconds.map(Duration::from_secs) }
    }
}

impl From<Error> for Unopened {
    fn from(error: Error) -> Self {
        if let Error::Http(response) = &error {
            return Self::refused(response);
        }
        Self::new(error.to_string())
    }
}

/// Where a node, or a balancer before nodes, is.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    /// Reads `ws(s)://HOST[:PORT][/PATH]` or the same with `http(s)`; `/v1/ws` is appended unless the path ends so.
    pub(crate) fn parse(text: &str) -> Result<Self, SetupError> {
        let scheme = || SetupError::Scheme(text.to_owned());
        let (tls, rest) = ["wss://", "https://"]
            .iter()
            .find_map(|scheme| Some((true, text.strip_prefix(scheme)?)))
            .or_else(|| {
                let plain = ["ws://", "http://"].iter();
                plain.into_iter().find_map(|scheme| Some((false, text.strip_prefix(scheme)?)))
            })
            .ok_or_else(scheme)?;
        let base = rest.trim_end_matches('/').trim_end_matches("/v1/ws");
        let url = format!("{}://{base}/v1/ws", if tls { "wss" } else { "ws" });
        let not_a_url = |why: String| SetupError::NotAUrl(text.to_owned(), why);
        let uri: Uri = url.parse().map_err(|error| not_a_url(format!("{error}")))?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| not_a_url("it has no host".to_owned()))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { uri, host, port, tls })
    }
}

/// Tells whether a text is the address of a cluster, as [`Client::builder`](crate::Client::builder) takes it.
///
/// # Errors
/// What is wrong with it.
pub fn check_address(url: &str) -> Result<(), SetupError> {
    Address::parse(url).map(drop)
}

/// The addresses of a cluster, and how TLS is spoken there.
#[derive(Clone)]
pub(crate) struct Connector {
    addresses: Arc<[Address]>,
    headers: HeaderMap,
    tls: Option<TlsConnector>,
}

impl Connector {
    pub(crate) fn new(
        urls: &[String],
        headers: &[(String, String)],
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, SetupError> {
        let addresses: Vec<_> =
            urls.iter().map(|url| Address::parse(url)).collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(SetupError::None);
        }
        let tls = match tls {
            Some(config) => Some(config),
            None if addresses.iter().any(|address| address.tls) => {
                let config = ClientConfig::with_platform_verifier();
                Some(config.map_err(|error| SetupError::Certificates(error.to_string()))?.into())
            }
            None => None,
        };
        let headers = headers.iter().map(header).collect::<Result<_, _>>()?;
        Ok(Self { addresses: addresses.into(), headers, tls: tls.map(TlsConnector::from) })
    }

    /// Opens a socket on the address of an attempt, and others on the next addresses while none has opened. The one that
    /// opens first is used; the others are dropped before anything was said on them.
    pub(crate) async fn open(
        self,
        attempt: usize,
        token: Option<Token>,
    ) -> Result<Socket, Unopened> {
        let mut attempts = attempt..;
        race(|| {
            let attempt = attempts.next().unwrap_or_default();
            let address = &self.addresses[attempt % self.addresses.len()];
            let request = request(&address.uri, &self.headers, token.as_ref());
            open(address, self.tls.clone(), request)
        })
        .await
    }
}

fn header((name, value): &(String, String)) -> Result<(HeaderName, HeaderValue), SetupError> {
    let parsed = name.parse().ok().zip(value.parse().ok());
    parsed.ok_or_else(|| SetupError::Header(name.clone()))
}

/// Opens connections until one has opened: another one each second, up to five at once, while those before are late. For
/// those who open the sockets of a [`core::Machine`](crate::core::Machine) by themselves; a [`Client`](crate::Client) does it.
///
/// # Errors
/// That of the last one, if all fail.
pub async fn race<T, E, F: Future<Output = Result<T, E>>>(
    mut open: impl FnMut() -> F,
) -> Result<T, E> {
    let mut openings = FuturesUnordered::from_iter([open()]);
    loop {
        let wait = if openings.len() < MOST_AT_ONCE { ANOTHER_AFTER } else { Duration::MAX };
        match timeout(wait, openings.next()).await {
            Ok(Some(Err(error))) if openings.is_empty() => return Err(error),
            Ok(Some(Ok(opened))) => return Ok(opened),
            Ok(Some(Err(_)) | None) => {}
            Err(_) => openings.push(open()),
        }
    }
}

async fn open(
    address: &Address,
    tls: Option<TlsConnector>,
    request: Result<Request<()>, Unopened>,
) -> Result<Socket, Unopened> {
    let request = request?;
    let unreached = |error: std::io::Error| {
        Unopened::new(format!("{}:{} cannot be reached: {error}", address.host, address.port))
    };
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreached)?;
    tcp.set_nodelay(true).map_err(unreached)?;
    let wire: Box<dyn Wire> = match tls.filter(|_| address.tls) {
        Some(tls) => {
            let name = ServerName::try_from(address.host.clone());
            let name = name.map_err(|error| Unopened::by_tls(&error))?;
            let secured = tls.connect(name, tcp).await;
            Box::new(secured.map_err(|error| Unopened::by_tls(&error))?)
        }
        None => Box::new(tcp),
    };
    Ok(client_async(request, wire).await?.0)
}

/// The request for the upgrade. A token goes into a header, so that a node knows from the start who connects.
fn request(uri: &Uri, further: &HeaderMap, token: Option<&Token>) -> Result<Request<()>, Unopened> {
    let mut request = uri.clone().into_client_request()?;
    let headers = request.headers_mut();
    headers.extend(further.clone());
    headers.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    if let Some(token) = token {
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
        let unfit = |_| Unopened::new("the token does not fit into a header".to_owned());
        headers.insert(AUTHORIZATION, bearer.map_err(unfit)?);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::Pin;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[test]
    fn an_address_leads_to_the_path_of_the_protocol() {
        for (text, uri, port) in [
            ("ws://localhost:8080", "ws://localhost:8080/v1/ws", 8080),
            ("wss://signal.example.org/", "wss://signal.example.org/v1/ws", 443),
            ("https://example.org/rtc", "wss://example.org/rtc/v1/ws", 443),
            ("http://[::1]/v1/ws", "ws://[::1]/v1/ws", 80),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.uri.to_string().as_str(), address.port), (uri, port));
        }
        for bad in ["localhost:8080", "ftp://x", "ws://", "ws://a b", ""] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    type Opening = Pin<Box<dyn Future<Output = Result<u8, &'static str>>>>;

    /// Connections that end as told, in this order.
    async fn raced(openings: Vec<Opening>) -> Result<u8, &'static str> {
        let mut openings = openings.into_iter();
        race(|| openings.next().expect("no need of another connection")).await
    }

    fn at_once(result: Result<u8, &'static str>) -> Opening {
        Box::pin(ready(result))
    }

    fn after(time: Duration, result: Result<u8, &'static str>) -> Opening {
        Box::pin(async move {
            sleep(time).await;
            result
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_connection_that_opens_in_time_is_the_only_one() {
        assert_eq!(raced(vec![at_once(Ok(1))]).await, Ok(1));
        let refused = raced(vec![at_once(Err("refused"))]).await;
        assert_eq!(refused, Err("refused"), "a refusal is no delay");
    }

    #[tokio::test(start_paused = true)]
    async fn another_connection_is_opened_each_second_while_all_before_hang() {
        let begun = Instant::now();
        let hang = || Box::pin(pending()) as Opening;
        assert_eq!(raced(vec![hang(), hang(), hang(), at_once(Ok(4))]).await, Ok(4));
        assert_eq!(begun.elapsed(), ANOTHER_AFTER * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_connection_is_good_if_another_one_fails() {
        let openings = vec![after(ANOTHER_AFTER * 3 / 2, Ok(1)), at_once(Err("refused"))];
        assert_eq!(raced(openings).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_five_connections_are_opened_at_once() {
        let late = |number| after(ANOTHER_AFTER * 9, Ok(number));
        assert_eq!(raced((1..=5).map(late).collect()).await, Ok(1));
    }
}
