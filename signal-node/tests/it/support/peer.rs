//! A client of the node, frame by frame.
//!
//! Raw on purpose, beside `signal-client`: tests send what no client may (malformed frames, a `mid` out of order, a token in
//! an odd place), look at each frame in the order in which it comes, and must see a loss that a client would make good by
//! a resend. How clients fare is in `rust_client`.

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{Sink, SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use signal_protocol::PeerKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{Error, handshake::client::Response};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::node::{TestNode, token};

/// Long enough on a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct TestPeer {
    sink: Pin<Box<dyn Sink<Message, Error = Error> + Send>>,
    stream: BoxStream<'static, Result<Message, Error>>,
    /// Reads while the test looks elsewhere; ends with this value.
    attendant: JoinSet<()>,
    pub(crate) id: String,
}

/// A request for the upgrade, to be changed by a test.
pub(crate) fn request(node: &TestNode) -> Request<()> {
    request_to(node.address())
}

fn request_to(address: &str) -> Request<()> {
    let mut request = format!("ws://{address}/v1/ws").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "signal.v1".parse().unwrap());
    request
}

/// Sends a request for the upgrade and returns what came of it.
pub(crate) async fn knock(request: Request<()>) -> Result<(TestPeer, Response), Error> {
    let address = request.uri().authority().unwrap().to_string();
    let stream = TcpStream::connect(address).await.unwrap();
    let (socket, response) = client_async(request, stream).await?;
    Ok((TestPeer::over(socket), response))
}

/// Sends a request for the upgrade from an address of this machine.
pub(crate) async fn knock_from(
    from: IpAddr,
    request: Request<()>,
) -> Result<(TestPeer, Response), Error> {
    let address = request.uri().authority().unwrap().as_str().parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let (socket, response) = client_async(request, socket.connect(address).await.unwrap()).await?;
    Ok((TestPeer::over(socket), response))
}

/// The HTTP status with which an upgrade was refused, and its problem code.
pub(crate) async fn refused(request: Request<()>) -> (u16, String) {
    match knock(request).await.map(|_| ()) {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            (response.status().as_u16(), problem["code"].as_str().unwrap_or_default().to_owned())
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub(crate) fn key(who: &str) -> String {
    format!("{who:A<22}")
}

impl TestPeer {
    /// Speaks over a socket that has been upgraded.
    pub(crate) fn over<S>(socket: WebSocketStream<S>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sink, stream) = socket.split();
        let (sink, stream) = (Box::pin(sink), stream.boxed());
        Self { sink, stream, attendant: JoinSet::new(), id: String::new() }
    }

    /// Connects; nothing has been said yet.
    pub(crate) async fn connect(node: &TestNode) -> Self {
        knock(request(node)).await.unwrap().0
    }

    /// Connects with a token for `who` and takes the welcome.
    pub(crate) async fn holder(node: &TestNode, who: &str) -> Self {
        Self::with_token(node, &token(who)).await
    }

    pub(crate) async fn with_token(node: &TestNode, token: &str) -> Self {
        Self::at(node.address(), token).await
    }

    /// Connects to an address with a token and takes the welcome.
    pub(crate) async fn at(address: &str, token: &str) -> Self {
        let mut peer = Self::dial(address, token).await;
        peer.expect("welcome").await;
        peer.attended()
    }

    /// Connects to an address with a token as a subprotocol, whatever the node thinks of it.
    pub(crate) async fn dial(address: &str, token: &str) -> Self {
        let mut request = request_to(address);
        let offered = format!("signal.v1, bearer.{token}").parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", offered);
        knock(request).await.unwrap().0
    }

    /// Answers pings from now on also while the test looks elsewhere.
    pub(crate) fn attended(mut self) -> Self {
        let (queue, heard) = mpsc::channel(100_000);
        let mut stream = std::mem::replace(&mut self.stream, futures_util::stream::empty().boxed());
        self.attendant.spawn(async move {
            while let Some(message) = stream.next().await {
                if queue.send(message).await.is_err() {
                    return;
                }
            }
        });
        let next = async |mut heard: mpsc::Receiver<_>| Some((heard.recv().await?, heard));
        self.stream = futures_util::stream::unfold(heard, next).boxed();
        self
    }

    /// Connects without a token and takes the welcome.
    pub(crate) async fn anonymous(node: &TestNode) -> Self {
        let mut peer = Self::connect(node).await;
        peer.say(node.hello()).await;
        peer.expect("welcome").await;
        peer
    }

    /// Two anonymous members of the room `demo`, who know of each other.
    pub(crate) async fn two(node: &TestNode) -> [Self; 2] {
        let mut ana = Self::anonymous(node).await;
        let mut bo = Self::anonymous(node).await;
        ana.join("demo", "ana").await;
        bo.join("demo", "bo").await;
        ana.expect("peer_joined").await;
        [ana, bo]
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.say_text(&frame.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.sink.send(message).await.unwrap();
    }

    async fn message(&mut self) -> Message {
        let message = timeout(PATIENCE, self.stream.next()).await.expect("a frame in time");
        message.expect("an open socket").expect("a whole frame")
    }

    /// Takes the next text frame within a time of the test's own; `None` if there is none.
    pub(crate) async fn within(&mut self, time: Duration) -> Option<Value> {
        timeout(time, self.next_text()).await.ok()
    }

    /// Takes the next text frame; pings do not prolong the wait.
    pub(crate) async fn next(&mut self) -> Value {
        timeout(PATIENCE, self.next_text()).await.expect("a text frame in time")
    }

    async fn next_text(&mut self) -> Value {
        loop {
            match self.message().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected a text frame, got {other:?}"),
            }
        }
    }

    /// Takes the next text frame, which must be of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// Takes the next text frame, which must be an error of this code.
    pub(crate) async fn expect_error(&mut self, code: &str) -> Value {
        let frame = self.expect("error").await;
        assert_eq!(frame["code"], code, "{frame}");
        frame
    }

    /// Takes frames until the connection is closed, and returns the code.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.message().await {
                Message::Close(Some(frame)) => return frame.code.into(),
                Message::Close(None) => return 1005,
                _ => {}
            }
        }
    }

    /// Returns the code with which the connection is closed within this time, if it is.
    pub(crate) async fn closed_within(&mut self, time: Duration) -> Option<u16> {
        timeout(time, self.closed()).await.ok()
    }

    /// Enters a room and takes `joined`.
    pub(crate) async fn join(&mut self, room: &str, who: &str) -> Value {
        self.try_join(room, who).await;
        let joined = self.expect("joined").await;
        key(who).parse::<PeerKey>().unwrap().peer().as_str().clone_into(&mut self.id);
        assert_eq!(joined["self"]["id"], self.id.as_str());
        joined
    }

    pub(crate) async fn try_join(&mut self, room: &str, who: &str) {
        let meta = json!({"name": who});
        let join =
            json!({"type": "join", "id": 1, "room": room, "key": key(who), "try": 1, "meta": meta});
        self.say(join).await;
    }

    /// Takes frames until the join is answered.
    pub(crate) async fn answer(&mut self) -> Value {
        loop {
            let frame = self.next().await;
            if frame["id"] == 1 {
                return frame;
            }
        }
    }

    /// Comes back to a room over this socket, with a position if there is one, and takes nothing.
    pub(crate) async fn resume(&mut self, room: &str, who: &str, attempt: u64, seq: Option<u64>) {
        let mut join =
            json!({"type": "join", "id": 1, "room": room, "key": key(who), "try": attempt});
        if let Some(seq) = seq {
            join["seq"] = seq.into();
        }
        self.say(join).await;
        key(who).parse::<PeerKey>().unwrap().peer().as_str().clone_into(&mut self.id);
    }

    /// Says something to one peer.
    pub(crate) async fn signal(&mut self, mid: u64, to: &str, data: impl Into<Value>) {
        let data = data.into();
        self.say(json!({"type": "signal", "mid": mid, "room": "demo", "to": to, "data": data}))
            .await;
    }

    /// Takes frames until one of this type comes.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Proves that nothing else was sent: the next frame is the answer to a ping.
    pub(crate) async fn expect_nothing(&mut self) {
        self.say(json!({"type": "ping"})).await;
        self.expect("pong").await;
    }

    /// Proves the same of a client whose protocol has no ping: the next message is the answer to one of WebSocket.
    pub(crate) async fn expect_silence(&mut self) {
        self.send(Message::Ping("silence".into())).await;
        loop {
            match self.message().await {
                Message::Pong(_) => return,
                Message::Ping(_) => {}
                other => panic!("expected nothing, got {other:?}"),
            }
        }
    }
}
