//! A WebSocket to a node: over TCP or TLS, or over whatever else carries bytes.

use std::sync::Arc;
use std::time::Duration;

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

/// A second connection is opened beside the first if that has not opened within this time: the node behind it may be
/// stopped, or the path to it dead (in the manner of RFC 8305 §5, at the pace of handshakes).
const SECOND_AFTER: Duration = Duration::from_secs(1);
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

    /// Opens a socket on the address of an attempt, and a second one on the next address if the first takes long. The one
    /// that opens first is used; the other is dropped before anything was said on it.
    pub(crate) async fn open(
        self,
        attempt: usize,
        token: Option<Token>,
    ) -> Result<Socket, Unopened> {
        let open = |attempt: usize| {
            let address = &self.addresses[attempt % self.addresses.len()];
            let request = request(&address.uri, &self.headers, token.as_ref());
            open(address, self.tls.clone(), request)
        };
        race(open(attempt), || open(attempt + 1)).await
    }
}

fn header((name, value): &(String, String)) -> Result<(HeaderName, HeaderValue), SetupError> {
    let parsed = name.parse().ok().zip(value.parse().ok());
    parsed.ok_or_else(|| SetupError::Header(name.clone()))
}

/// Waits for the first of two connections to open; the second one begins if the first takes longer than a second. For
/// those who open the sockets of a [`core::Machine`](crate::core::Machine) by themselves; a [`Client`](crate::Client) does it.
///
/// # Errors
/// That of the later one, if both fail.
pub async fn race<T, E, F: Future<Output = Result<T, E>>>(
    first: F,
    second: impl FnOnce() -> F,
) -> Result<T, E> {
    let mut first = std::pin::pin!(first);
    if let Ok(opened) = timeout(SECOND_AFTER, &mut first).await {
        return opened;
    }
    let mut second = std::pin::pin!(second());
    tokio::select! {
        opened = &mut first => if opened.is_ok() { opened } else { second.await },
        opened = &mut second => if opened.is_ok() { opened } else { first.await },
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

    #[tokio::test(start_paused = true)]
    async fn a_first_connection_that_opens_in_time_is_the_only_one() {
        let first: Opening = Box::pin(ready(Ok(1)));
        assert_eq!(race(first, || panic!("there is no need")).await, Ok(1));
        let first: Opening = Box::pin(ready(Err("refused")));
        assert_eq!(race(first, || panic!("a refusal is no delay")).await, Err("refused"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_connection_wins_over_one_that_hangs() {
        let (begun, first) = (Instant::now(), Box::pin(pending()) as Opening);
        assert_eq!(race(first, || Box::pin(ready(Ok(2)))).await, Ok(2));
        assert_eq!(begun.elapsed(), SECOND_AFTER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_first_connection_is_good_if_the_second_fails() {
        let first: Opening = Box::pin(async {
            sleep(SECOND_AFTER * 2).await;
            Ok(1)
        });
        assert_eq!(race(first, || Box::pin(ready(Err("refused")))).await, Ok(1));
    }
}
