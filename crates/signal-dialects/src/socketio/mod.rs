//! Socket.IO, protocols 4 (clients 1 and 2) and 5 (clients 3 and 4), with the program of the codelab in its namespace `/`.
//!
//! A client of 4.6 or later shows the secret (`pid`) and the position (`offset`) that it was given, and goes on over any node
//! where it was: `socket.recovered` is true. The secret is the key of its member, and each event carries the position.

mod client;
mod codelab;
mod exported;
mod mark;
mod membership;
mod packet;

use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use signal_protocol::{CloseCode, RoomId};

use self::client::ClientId;
pub use self::client::Protocol;
use self::codelab::{Codelab, Resumed};
use self::exported::ExportedClient;
use self::mark::{Mark, NO_ROOM};
use self::packet::{Kind, Packet, connect_error, connected};
use crate::dialect::{
    ConnectionEnd, Dialect, DialectEffect, DialectName, DrainTime, Effects, MembershipEnd,
    PostOutcome,
};
use crate::frame::Frame;

/// How long a client of protocol 5 may take until it connects to the namespace.
const CONNECT_WITHIN: Duration = Duration::from_secs(45);

/// One connection of Socket.IO.
#[derive(Debug)]
pub struct SocketIo {
    protocol: Protocol,
    state: State,
    codelab: Codelab,
    /// Whether the session is authenticated.
    is_welcome: bool,
    connect_by: Option<Instant>,
}

/// Whether the client is connected to the namespace.
#[derive(Debug)]
enum State {
    Unconnected,
    /// Its token is being checked.
    Authenticating(Credentials),
    /// It is connected once it has got what it missed.
    Resuming,
    Connected,
}

/// What a client shows when it connects.
#[derive(Debug, Default)]
struct Credentials {
    client: Option<ClientId>,
    offset: Option<String>,
}

impl SocketIo {
    /// Takes the protocol, and the secret that was drawn for the client; `None`: the secret is no key.
    #[must_use]
    pub fn new(protocol: Protocol, secret: &str) -> Option<Self> {
        let codelab = Codelab::new(ClientId::new(&protocol, secret)?);
        let state = State::Unconnected;
        Some(Self { protocol, state, codelab, is_welcome: false, connect_by: None })
    }

    /// Takes over a client of another node, as that has exported it; `None`: the text is no client.
    #[must_use]
    pub fn import(text: &str) -> Option<Self> {
        let exported: ExportedClient = serde_json::from_str(text).ok()?;
        let mut client = Self::new(exported.protocol(), &exported.secret)?;
        client.state = State::Connected;
        if let Some(room) = exported.room {
            client.codelab.import(room)?;
        }
        Some(client)
    }

    fn packet(&mut self, packet: &Packet<'_>, now: Instant, effects: &mut Effects) {
        let Packet { namespace, kind } = packet;
        match (kind, &self.state) {
            (Kind::Connect(_), _) if *namespace != "/" => {
                let text = connect_error(&self.protocol, namespace, "Invalid namespace");
                effects.push(DialectEffect::Send(text));
            }
            // A client of protocol 4 is connected to `/` from the beginning, and some say so.
            (Kind::Connect(_), State::Connected) if self.protocol != Protocol::Five => {}
            (Kind::Connect(auth), State::Unconnected) => self.authenticate(auth, effects),
            (Kind::Event { name, args }, State::Connected) if *namespace == "/" => {
                self.codelab.on_event(name, args, now, effects);
            }
            (Kind::Disconnect, State::Connected) if *namespace == "/" => {
                self.codelab.leave(effects);
                self.state = State::Unconnected;
            }
            (Kind::Ack, State::Connected) if *namespace == "/" => {}
            // A second connect, or anything else of a client that is not connected.
            (
                Kind::Connect(_)
                | Kind::Event { .. }
                | Kind::Disconnect
                | Kind::Ack
                | Kind::ConnectError,
                _,
            ) => effects.push(DialectEffect::Close(CloseCode::ProtocolError)),
        }
    }

    fn authenticate(&mut self, auth: &Map<String, Value>, effects: &mut Effects) {
        let text = |name: &str| auth.get(name).and_then(Value::as_str);
        let client = text("pid").and_then(ClientId::with_pid);
        let credentials = Credentials { client, offset: text("offset").map(str::to_owned) };
        self.connect_by = None;
        if self.is_welcome {
            return self.connect(credentials, effects);
        }
        self.state = State::Authenticating(credentials);
        effects.push(DialectEffect::Authenticate(text("token").map(str::to_owned)));
    }

    /// Connects the client, as the one that it was if it shows that.
    fn connect(&mut self, credentials: Credentials, effects: &mut Effects) {
        let Credentials { client: Some(client), offset } = credentials else {
            return self.connected(effects);
        };
        let offset = offset.unwrap_or_default();
        match Mark::parse(&offset) {
            Some(mark) => {
                self.codelab.become_client(client, effects);
                self.codelab.resume(mark, effects);
                self.state = State::Resuming;
            }
            None if offset == NO_ROOM => {
                self.codelab.become_client(client, effects);
                self.connected(effects);
            }
            // A client that has got no event yet has nothing to resume.
            None => {
                self.codelab.become_client(client, effects);
                self.resumed(Resumed::Nothing, effects);
            }
        }
    }

    fn connected(&mut self, effects: &mut Effects) {
        self.state = State::Connected;
        let client = self.codelab.client();
        let text = match client.pid() {
            Some(pid) => connected(client.sid(), pid),
            None => "0".to_owned(),
        };
        effects.push(DialectEffect::Send(text));
    }

    fn resumed(&mut self, resumed: Resumed, effects: &mut Effects) {
        if resumed == Resumed::Nothing
            && let Some(next) = self.codelab.client().next()
        {
            self.codelab.become_client(next, effects);
        }
        self.connected(effects);
    }

    fn rejected(&mut self, code: &str, effects: &mut Effects) {
        let message = if code == "unavailable" { "unavailable" } else { "unauthorized" };
        let text = connect_error(&self.protocol, "/", message);
        effects.push(DialectEffect::Send(text));
    }
}

impl Dialect for SocketIo {
    fn name(&self) -> DialectName {
        DialectName::SocketIo
    }

    fn start(&mut self, now: Instant, effects: &mut Effects) {
        self.is_welcome = true;
        if matches!(self.state, State::Connected) {
            return self.codelab.join(None, effects);
        }
        match self.protocol {
            Protocol::Four { .. } => self.connected(effects),
            Protocol::Five => self.connect_by = Some(now + CONNECT_WITHIN),
        }
    }

    fn on_text(&mut self, text: &str, now: Instant, effects: &mut Effects) {
        match Packet::parse(text) {
            Some(packet) => self.packet(&packet, now, effects),
            None => effects.push(DialectEffect::Close(CloseCode::ProtocolError)),
        }
    }

    fn on_frame(&mut self, frame: &str, now: Instant, effects: &mut Effects) {
        let frame = Frame::read(frame);
        match (&frame, &mut self.state) {
            (Frame::Welcome, State::Authenticating(credentials)) => {
                self.is_welcome = true;
                let credentials = std::mem::take(credentials);
                return self.connect(credentials, effects);
            }
            (Frame::Refused { id: None, code, .. }, _) if !self.is_welcome => {
                return self.rejected(code, effects);
            }
            _ => {}
        }
        if let Some(resumed) = self.codelab.on_frame(&frame, now, effects) {
            self.resumed(resumed, effects);
        }
    }

    fn on_posted(&mut self, _: &RoomId, _: PostOutcome, _: Instant, _: &mut Effects) {}

    /// The client comes back as another one, since nobody can say what it missed.
    fn on_lost(&mut self, _room: &RoomId, _now: Instant, effects: &mut Effects) {
        effects.push(DialectEffect::Close(CloseCode::Unavailable));
    }

    fn next_tick(&self) -> Option<Instant> {
        self.connect_by.into_iter().chain(self.codelab.next_tick()).min()
    }

    fn tick(&mut self, now: Instant, effects: &mut Effects) {
        if self.connect_by.take_if(|by| *by <= now).is_some() {
            effects.push(DialectEffect::Close(CloseCode::HelloTimeout));
        }
        self.codelab.tick(now, effects);
    }

    /// The client connects again by itself, and resumes if it can.
    fn drain_time(&self) -> DrainTime {
        DrainTime::Early
    }

    fn export(&self) -> Option<String> {
        let State::Connected = self.state else { return None };
        let sid = match &self.protocol {
            Protocol::Four { sid } => Some(sid.clone()),
            Protocol::Five => None,
        };
        let (secret, room) = (self.codelab.client().secret().to_owned(), self.codelab.export());
        serde_json::to_string(&ExportedClient { sid, secret, room }).ok()
    }

    fn after(&self, end: ConnectionEnd) -> MembershipEnd {
        match end {
            ConnectionEnd::Moved => MembershipEnd::Detach,
            ConnectionEnd::Lost if self.codelab.client().resumes() => MembershipEnd::Detach,
            ConnectionEnd::Lost | ConnectionEnd::Goodbye => MembershipEnd::Leave,
        }
    }
}
