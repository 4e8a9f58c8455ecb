//! A client of the cluster, frame by frame.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls_platform_verifier::ConfigVerifierExt as _;
use serde_json::{Value, json};
use signal_protocol::{CloseCode, RoomId, SUBPROTOCOL};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::ORIGIN;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request, Uri};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the cluster is, and what is shown there.
#[derive(Clone)]
pub(super) struct Target {
    host: String,
    port: u16,
    secure: bool,
    url: Uri,
    token: Option<String>,
}

impl Target {
    /// Reads `ws://HOST:PORT` or `wss://HOST`; `http` and `https` do as well.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('/').replacen("http", "ws", 1);
        let url: Uri = format!("{}/v1/ws", text.trim_end_matches("/v1/ws"))
            .parse()
            .map_err(|error| format!("is not a URL: {error}"))?;
        let secure = match url.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err("begins with ws:// or wss://".to_owned()),
        };
        let host = url.host().ok_or("has no host")?.trim_matches(['[', ']']).to_owned();
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Self { host, port, secure, url, token: None })
    }

    pub(super) fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    fn request(&self, origin: Option<&'static str>) -> Result<Request<()>, Unreached> {
        let mut request = self.url.clone().into_client_request().map_err(Unreached::Upgrade)?;
        let protocols = match &self.token {
            Some(token) => format!("{SUBPROTOCOL}, bearer.{token}"),
            None => SUBPROTOCOL.to_owned(),
        };
        let protocols = HeaderValue::try_from(protocols).map_err(|_| Unreached::Token)?;
        request.headers_mut().insert("sec-websocket-protocol", protocols);
        if let Some(origin) = origin {
            request.headers_mut().insert(ORIGIN, HeaderValue::from_static(origin));
        }
        Ok(request)
    }

    async fn open(&self) -> Result<Box<dyn Stream>, Unreached> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        if !self.secure {
            return Ok(Box::new(tcp));
        }
        let config =
            ClientConfig::with_platform_verifier().map_err(|e| Unreached::Tls(e.to_string()))?;
        let name =
            ServerName::try_from(self.host.clone()).map_err(|e| Unreached::Tls(e.to_string()))?;
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, tcp).await?))
    }
}

/// A way to the cluster, secured or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Why there is no connection, or no answer over it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    #[error("nothing answers there: {0}")]
    Connect(#[from] std::io::Error),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("the upgrade failed: {0}")]
    Upgrade(Error),
    #[error("the token is not one that fits into a header")]
    Token,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the connection was cut without a close frame")]
    Cut,
    #[error("closed {0}: {1}")]
    Closed(u16, String),
    #[error("refused: {0}")]
    Refused(String),
    #[error("what came is not of signal.v1: {0}")]
    Foreign(String),
}

/// One connection of ours.
pub(super) struct Client {
    socket: WebSocketStream<Box<dyn Stream>>,
    /// The node it leads to, as that says.
    pub(super) node: String,
    /// Its member, once it has one.
    pub(super) peer: String,
    says: u64,
}

impl Client {
    /// Tells whether a page of this origin may connect. A node says no by the close code 4204, a balancer perhaps by a
    /// 403.
    pub(super) async fn page_may_connect(
        target: &Target,
        origin: &'static str,
    ) -> Result<bool, Unreached> {
        let mut client = match Self::open(target, Some(origin)).await {
            Err(Unreached::Upgrade(Error::Http(response))) if response.status() == 403 => {
                return Ok(false);
            }
            opened => opened?,
        };
        if target.token.is_none() {
            // If the node has closed already, its close code is still there to be read.
            let _ = client.say(&json!({"type": "hello", "client": "doctor"})).await;
        }
        match timeout(PATIENCE, client.end_or_welcome()).await.map_err(|_| Unreached::Late)? {
            Err(Unreached::Closed(code, _)) => Ok(code != CloseCode::OriginRefused.number()),
            welcomed => welcomed.map(|()| true),
        }
    }

    /// Waits for `welcome`, past an `error`.
    async fn end_or_welcome(&mut self) -> Result<(), Unreached> {
        while text(&self.next().await?["type"]) != "welcome" {}
        Ok(())
    }

    async fn open(target: &Target, origin: Option<&'static str>) -> Result<Self, Unreached> {
        let request = target.request(origin)?;
        let upgrade =
            async { client_async(request, target.open().await?).await.map_err(Unreached::Upgrade) };
        let (socket, _) = timeout(PATIENCE, upgrade).await.map_err(|_| Unreached::Late)??;
        Ok(Self { socket, node: String::new(), peer: String::new(), says: 0 })
    }

    /// Connects and is welcomed.
    pub(super) async fn connect(target: &Target) -> Result<Self, Unreached> {
        let mut client = Self::open(target, None).await?;
        if target.token.is_none() {
            client.say(&json!({"type": "hello", "client": "doctor"})).await?;
        }
        text(&client.expect("welcome").await?["node"]).clone_into(&mut client.node);
        Ok(client)
    }

    /// Enters a room as a new member and returns what it is told.
    pub(super) async fn join(&mut self, room: &RoomId) -> Result<Value, Unreached> {
        let key = service_kit::random::token();
        let join = json!({"type": "join", "id": 1, "room": room, "key": key, "try": 1, "meta": {"name": "doctor"}});
        self.say(&join).await?;
        let joined = self.expect("joined").await?;
        text(&joined["self"]["id"]).clone_into(&mut self.peer);
        Ok(joined)
    }

    /// Says something to one member.
    pub(super) async fn signal(
        &mut self,
        room: &RoomId,
        to: &str,
        data: &str,
    ) -> Result<(), Unreached> {
        self.says += 1;
        self.say(&json!({"type": "signal", "mid": self.says, "room": room, "to": to, "data": data}))
            .await
    }

    pub(super) async fn leave(&mut self, room: &RoomId) -> Result<(), Unreached> {
        self.say(&json!({"type": "leave", "id": 2, "room": room})).await?;
        self.expect("ok").await.map(|_| ())
    }

    async fn say(&mut self, frame: &Value) -> Result<(), Unreached> {
        self.socket.send(Message::text(frame.to_string())).await.map_err(|_| Unreached::Cut)
    }

    /// Waits for a frame of this type, past others.
    pub(super) async fn expect(&mut self, kind: &str) -> Result<Value, Unreached> {
        let waited = timeout(PATIENCE, async {
            loop {
                let frame = self.next().await?;
                match text(&frame["type"]) {
                    found if found == kind => return Ok(frame),
                    "error" => return Err(Unreached::Refused(refusal(&frame))),
                    _ => {}
                }
            }
        });
        waited.await.map_err(|_| Unreached::Late)?
    }

    /// Stays without a word for so long; an error if it is not left in peace.
    pub(super) async fn idle(&mut self, time: Duration) -> Result<(), Unreached> {
        let heard = timeout(time, async {
            loop {
                self.next().await?;
            }
        });
        heard.await.unwrap_or(Ok(()))
    }

    async fn next(&mut self) -> Result<Value, Unreached> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text)
                        .map_err(|e| Unreached::Foreign(e.to_string()));
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err(Unreached::Closed(frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => return Err(Unreached::Foreign(format!("{other:?}"))),
                Some(Err(_)) | None => return Err(Unreached::Cut),
            }
        }
    }
}

fn refusal(frame: &Value) -> String {
    format!("{} ({})", text(&frame["code"]), text(&frame["message"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
