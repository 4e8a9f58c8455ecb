//! What clients of each server say.

use serde_json::{Value, json};
use service_kit::tokens::{Claims, mint};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Request;

use super::ticket::PlannedConnection;
use super::wire::Wire;
use crate::problem::Problem;
use crate::servers::SECRET;

/// Tokens outlive every run.
const TOKEN_LIFE: u64 = 24 * 3600;

/// How clients of a server talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `signal.v1` (docs/PROTOCOL.md).
    Signal,
    /// Socket.IO protocol 5 over Engine.IO protocol 4, WebSocket only.
    SocketIo,
    /// What `peerjs` says.
    PeerJs,
    /// What `matchbox_socket` says.
    Matchbox,
    /// A line with the receiver, then the text.
    Floor,
}

/// What a text from the server is.
pub(super) enum ServerText {
    /// A message of a peer.
    Message,
    /// A question, with its answer.
    Asked(&'static str),
    Other,
}

impl Dialect {
    /// Makes the request for a WebSocket; `None` where there is none.
    pub(super) fn upgrade(
        self,
        ticket: &PlannedConnection,
    ) -> Result<Option<Request<()>>, Problem> {
        let PlannedConnection { door, room, number, .. } = ticket;
        let uri = match self {
            Self::Signal => format!("ws://{door}/v1/ws"),
            Self::SocketIo => format!("ws://{door}/socket.io/?EIO=4&transport=websocket"),
            Self::PeerJs => {
                format!("ws://{door}/peerjs?key=peerjs&id=peer-{number}&token={number}")
            }
            Self::Matchbox => format!("ws://{door}/{room}"),
            Self::Floor => return Ok(None),
        };
        let mut request = uri.into_client_request()?;
        if self == Self::Signal {
            let offered = format!("signal.v1, bearer.{}", token(*number, room));
            let offered = offered.parse().expect("a token is of a narrow alphabet");
            request.headers_mut().insert("sec-websocket-protocol", offered);
        }
        Ok(Some(request))
    }

    /// Enters the room; returns how the server calls the client, and where the room's log is.
    pub(super) async fn enter(
        self,
        wire: &mut Wire,
        ticket: &PlannedConnection,
    ) -> Result<(String, u64), Problem> {
        let PlannedConnection { room, number, .. } = ticket;
        let id = match self {
            Self::Signal => return enter_signal(wire, ticket).await,
            Self::SocketIo => {
                expect(wire, "an Engine.IO handshake", "0{").await?;
                send_text(wire, "40".to_owned()).await?;
                let connected = expect(wire, "a Socket.IO session", "40{").await?;
                send_text(wire, format!("420[\"join\",\"{room}\"]")).await?;
                expect(wire, "the room", "430").await?;
                text(&connected["sid"])
            }
            Self::PeerJs => {
                expect(wire, "OPEN", "{\"type\":\"OPEN\"").await?;
                format!("peer-{number}")
            }
            Self::Matchbox => text(&expect(wire, "an id", "{\"IdAssigned\"").await?["IdAssigned"]),
            Self::Floor => {
                send_text(wire, format!("peer-{number}\n{room}")).await?;
                format!("peer-{number}")
            }
        };
        Ok((id, 0))
    }

    /// Enters further rooms over the same connection, each as another member.
    pub(super) async fn enter_more(
        self,
        wire: &mut Wire,
        rooms: Vec<String>,
    ) -> Result<(), Problem> {
        for room in &rooms {
            // Each room is a name of its own, and makes a key of its own.
            let key = format!("{room:A<22}");
            let join = json!({"type": "join", "id": 1, "room": room, "key": key, "try": 1});
            wire.feed(join.to_string()).await?;
        }
        wire.flush().await?;
        for _ in &rooms {
            expect(wire, "joined", "{\"type\":\"joined\"").await?;
        }
        Ok(())
    }

    /// Writes a message; `data` is JSON.
    pub(super) fn frame(
        self,
        room: &str,
        mid: Option<u64>,
        to: Option<&str>,
        data: &str,
    ) -> String {
        match self {
            Self::Signal => {
                let count =
                    mid.map_or("\"volatile\":true".to_owned(), |mid| format!("\"mid\":{mid}"));
                let to = to.map_or(String::new(), |to| format!("\"to\":\"{to}\","));
                format!("{{\"type\":\"signal\",{count},\"room\":\"{room}\",{to}\"data\":{data}}}")
            }
            Self::SocketIo => {
                let to = to.map_or(String::new(), |to| format!("\"to\":\"{to}\","));
                format!("42[\"signal\",{{{to}\"data\":{data}}}]")
            }
            Self::PeerJs => {
                let to = to.unwrap_or_default();
                format!("{{\"type\":\"CANDIDATE\",\"dst\":\"{to}\",\"payload\":{data}}}")
            }
            Self::Matchbox => {
                let to = to.unwrap_or_default();
                format!("{{\"Signal\":{{\"receiver\":\"{to}\",\"data\":{data}}}}}")
            }
            Self::Floor => format!("{}\n{data}", to.unwrap_or_default()),
        }
    }

    /// Tells what a text is.
    pub(super) fn classify(self, text: &str) -> ServerText {
        let (message, question) = match self {
            Self::Signal => ("{\"type\":\"signal\"", None),
            Self::SocketIo => ("42[\"signal\"", Some(("2", "3"))),
            Self::PeerJs => ("{\"type\":\"CANDIDATE\"", None),
            Self::Matchbox => ("{\"Signal\"", None),
            Self::Floor => ("", None),
        };
        match question {
            Some((asked, answer)) if text == asked => ServerText::Asked(answer),
            _ if text.starts_with(message) => ServerText::Message,
            _ => ServerText::Other,
        }
    }

    /// Tells whether the server sends to all others of a room by itself.
    pub(crate) fn broadcasts(self) -> bool {
        match self {
            Self::Signal | Self::SocketIo | Self::Floor => true,
            Self::PeerJs | Self::Matchbox => false,
        }
    }
}

async fn send_text(wire: &mut Wire, text: String) -> Result<(), Problem> {
    wire.feed(text).await?;
    wire.flush().await
}

/// Takes texts until one begins so; returns the JSON in it. An error ends the wait.
async fn expect(wire: &mut Wire, what: &'static str, beginning: &str) -> Result<Value, Problem> {
    loop {
        let text = wire.next().await?;
        if text.starts_with(beginning) {
            let json = text.find('{').map_or("null", |at| &text[at..]);
            return Ok(serde_json::from_str(json).unwrap_or_default());
        }
        if text.starts_with("{\"type\":\"error\"") {
            return Err(Problem::Refused(what, text));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn enter_signal(
    wire: &mut Wire,
    ticket: &PlannedConnection,
) -> Result<(String, u64), Problem> {
    expect(wire, "welcome", "{\"type\":\"welcome\"").await?;
    let PlannedConnection { room, number, back, .. } = ticket;
    let attempt = if back.is_some() { 2 } else { 1 };
    // A browser draws 128 random bits; here a client has to be found again.
    let key = format!("bench{number:0>17}");
    let mut join = json!({"type": "join", "id": 1, "room": room, "key": key, "try": attempt});
    if let Some(seq) = back {
        join["seq"] = (*seq).into();
    }
    send_text(wire, join.to_string()).await?;
    let joined = expect(wire, "joined", "{\"type\":\"joined\"").await?;
    Ok((text(&joined["self"]["id"]), joined["seq"].as_u64().unwrap_or_default()))
}

fn token(number: u32, room: &str) -> String {
    let end = service_kit::clock::unix_seconds() + TOKEN_LIFE;
    let mut claims = Claims::new(format!("user-{number}"), end);
    claims.rooms = vec![room.to_owned(), "idle-*".to_owned()];
    mint(&claims, SECRET.as_bytes())
}
