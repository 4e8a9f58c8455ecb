//! A client of the cluster, as applications have it.

use std::time::Duration;

use signal_client::{
    Client as Connection, JoinError, JoinOptions, LeftBecause, Loss, PeerId, Room, RoomEvent,
    State, Stop,
};
use signal_protocol::{CloseCode, RoomId};
use tokio::time::timeout;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the cluster is, and what is shown there.
#[derive(Clone)]
pub(super) struct Target {
    url: String,
    token: Option<String>,
}

impl Target {
    /// Reads `ws://HOST:PORT` or `wss://HOST`; `http` and `https` do as well.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        signal_client::check_address(url).map_err(|error| error.to_string())?;
        Ok(Self { url: url.to_owned(), token: None })
    }

    pub(super) fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }
}

/// Why there is no connection, or no answer over it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    #[error("nothing answers there: {0}")]
    Connect(String),
    #[error("{0}")]
    Tls(String),
    #[error("the upgrade failed: HTTP {0}")]
    Status(u16),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("closed {0}: {1}")]
    Closed(u16, String),
    #[error("refused: {0}")]
    Refused(String),
}

impl Unreached {
    fn closed(code: u16, message: String) -> Self {
        match code {
            100..=599 => Self::Status(code),
            1006 => Self::Connect(message),
            1015 => Self::Tls(message),
            _ => Self::Closed(code, message),
        }
    }
}

impl From<JoinError> for Unreached {
    fn from(error: JoinError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<LeftBecause> for Unreached {
    fn from(because: LeftBecause) -> Self {
        Self::Refused(because.to_string())
    }
}

/// One connection of ours.
pub(super) struct Client {
    connection: Connection,
    /// The node it leads to, as that says.
    pub(super) node: String,
}

impl Client {
    /// Tells whether a page of this origin may connect. A node says no by the close code 4204, a balancer perhaps by a
    /// 403.
    pub(super) async fn page_may_connect(target: &Target, origin: &str) -> Result<bool, Unreached> {
        match Self::open(target, Some(origin)).await {
            Ok(_) => Ok(true),
            Err(Unreached::Status(403)) => Ok(false),
            Err(Unreached::Closed(code, _)) => Ok(code != CloseCode::OriginRefused.number()),
            Err(other) => Err(other),
        }
    }

    /// Connects and is welcomed.
    pub(super) async fn connect(target: &Target) -> Result<Self, Unreached> {
        Self::open(target, None).await
    }

    async fn open(target: &Target, origin: Option<&str>) -> Result<Self, Unreached> {
        let mut builder = Connection::builder(&target.url);
        if let Some(token) = &target.token {
            builder = builder.fixed_token(token.as_str());
        }
        if let Some(origin) = origin {
            builder = builder.header("origin", origin);
        }
        let connection = builder.connect().map_err(|error| Unreached::Tls(error.to_string()))?;
        let mut state = connection.state();
        let known = state.wait_for(|state| !matches!(state, State::Connecting));
        let known = timeout(PATIENCE, known).await.map_err(|_| Unreached::Late)?;
        let known = known.map_or(State::Connecting, |state| state.clone());
        match known {
            State::Open { node } => Ok(Self { connection, node }),
            lost @ (State::Connecting | State::Waiting { .. } | State::Stopped(_)) => {
                Err(unreached(lost))
            }
        }
    }

    /// Enters a room as a new member; returns the room and how this client is called there.
    pub(super) async fn join(&self, room: &RoomId) -> Result<(Room, PeerId), Unreached> {
        let meta = serde_json::json!({"name": "doctor"});
        let options = JoinOptions::default().meta(&meta).without_retries();
        let joined = timeout(PATIENCE, self.connection.join(room.as_str(), options));
        let mut room = joined.await.map_err(|_| Unreached::Late)??;
        let me = expect(&mut room, |event| {
            if let RoomEvent::Joined { me, .. } = event { Some(me.id.clone()) } else { None }
        });
        let me = me.await?;
        Ok((room, me))
    }

    /// Returns how many ICE servers the node has sent.
    pub(super) fn ice_servers(&self) -> usize {
        self.connection.ice().borrow().as_ref().map_or(0, |ice| ice.ice_servers.len())
    }

    /// Stays without a word for so long; an error if it is not left in peace.
    pub(super) async fn idle(&self, time: Duration) -> Result<(), Unreached> {
        let mut state = self.connection.state();
        let lost = state.wait_for(|state| !matches!(state, State::Open { .. }));
        match timeout(time, lost).await {
            Ok(Ok(lost)) => Err(unreached(lost.clone())),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }
}

fn unreached(state: State) -> Unreached {
    match state {
        State::Waiting { because: Loss::Closed { code, message }, .. }
        | State::Stopped(Stop::Code { code, message }) => Unreached::closed(code, message),
        State::Connecting
        | State::Open { .. }
        | State::Waiting { because: Loss::NoToken, .. }
        | State::Stopped(Stop::Closed) => Unreached::Late,
    }
}

/// Waits for an event in which `wanted` finds something, past others.
pub(super) async fn expect<T>(
    room: &mut Room,
    wanted: impl Fn(&RoomEvent) -> Option<T>,
) -> Result<T, Unreached> {
    let found = async {
        while let Some(event) = room.next().await {
            if let Some(found) = wanted(&event) {
                return Ok(found);
            }
            if let RoomEvent::Left(because) = event {
                return Err(because.into());
            }
        }
        Err(Unreached::Late)
    };
    timeout(PATIENCE, found).await.map_err(|_| Unreached::Late)?
}
