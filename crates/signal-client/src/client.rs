//! The client: how it is set up, and what it may be asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use signal_protocol::{IceServers, IdError};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_rustls::rustls::ClientConfig;

use crate::command::{Command, Entry, MOST_COMMANDS};
use crate::core::{LeftBecause, MemberId, Payload, State, Stop, Token, TokenSource};
use crate::driver::{Driver, Setup};
use crate::provider::{Fetch, TokenProvider, boxed};
use crate::queue::EventQueue;
use crate::room::{Room, RoomHandle};
use crate::transport::{Connector, SetupError};

/// What this crate calls itself in `hello`.
const NAME: &str = concat!("signal-client-rs/", env!("CARGO_PKG_VERSION"));

/// Sets a client up.
#[must_use = "nothing happens before `connect`"]
pub struct Builder {
    urls: Vec<String>,
    headers: Vec<(String, String)>,
    tokens: TokenSource,
    fetch: Option<Fetch>,
    tls: Option<Arc<ClientConfig>>,
}

impl Builder {
    /// Adds the address of another node. Each attempt takes the next one.
    pub fn address(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Asks `provider` for tokens: for the first connection, when a node refuses one, and before one expires.
    pub fn token(mut self, provider: impl TokenProvider) -> Self {
        self.tokens = TokenSource::Provider;
        self.fetch = Some(boxed(provider));
        self
    }

    /// Shows one token for as long as nodes accept it. A client that outlives its token needs [`Builder::token`].
    pub fn fixed_token(mut self, token: impl Into<Token>) -> Self {
        self.tokens = TokenSource::Fixed(token.into());
        self.fetch = None;
        self
    }

    /// Sends a further header with each request for a WebSocket, for what stands before the nodes.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Speaks TLS by this configuration, for instance where nodes have certificates of your own authority. By default
    /// the authorities are those of this machine.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Returns at once; the connection is opened in the background, and again whenever it is lost.
    ///
    /// # Errors
    /// When an address or a header is not one.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect(self) -> Result<Client, SetupError> {
        let connector = Connector::new(&self.urls, &self.headers, self.tls)?;
        let (commands, asked) = mpsc::channel(MOST_COMMANDS);
        let state = watch::Sender::new(State::Connecting);
        let ice = watch::Sender::new(None);
        let space = Arc::new(Notify::new());
        let client = Client {
            commands,
            state: state.subscribe(),
            ice: ice.subscribe(),
            space: Arc::clone(&space),
            last_member: Arc::default(),
        };
        let Self { tokens, fetch, .. } = self;
        let hello = crate::core::hello(NAME);
        let setup = Setup { connector, hello, tokens, fetch, state, ice, space };
        tokio::spawn(Driver::new(setup).run(asked));
        Ok(client)
    }
}

/// How a room is entered.
#[derive(Clone, Debug, Default)]
pub struct JoinOptions {
    meta: Option<Result<Payload, String>>,
    gives_up: bool,
}

impl JoinOptions {
    /// Has the join fail for a passing reason too, such as `unavailable`, instead of being tried again.
    #[must_use]
    pub fn without_retries(mut self) -> Self {
        self.gives_up = true;
        self
    }

    /// Sets what the others see of this member: an object of 4 KiB at most.
    #[must_use]
    pub fn meta(mut self, meta: &(impl Serialize + ?Sized)) -> Self {
        self.meta = Some(Payload::from_value(meta).map_err(|error| error.to_string()));
        self
    }
}

/// Why a room was not joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The name is none of a room.
    #[error(transparent)]
    Name(#[from] IdError),
    /// The `meta` has no form in JSON.
    #[error("the meta cannot be written as JSON: {0}")]
    Meta(String),
    /// The node refused the join for good, or the connection has stopped.
    #[error(transparent)]
    Ended(#[from] LeftBecause),
}

/// A client of a cluster. Clones of it share one connection; when the last of them and of its rooms is dropped, the
/// rooms are left and the connection is closed.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    ice: watch::Receiver<Option<Arc<IceServers>>>,
    space: Arc<Notify>,
    last_member: Arc<AtomicU64>,
}

impl Client {
    /// Begins to set a client up that connects to `url`: `ws://`, `wss://`, or the same with `http`. The path of the
    /// protocol, `/v1/ws`, is appended.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder {
            urls: vec![url.into()],
            headers: Vec::new(),
            tokens: TokenSource::Anonymous,
            fetch: None,
            tls: None,
        }
    }

    /// Returns where the connection stands, and tells of changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Returns the newest ICE servers, and tells of changes; `None` as long as no node has sent any.
    #[must_use]
    pub fn ice(&self) -> watch::Receiver<Option<Arc<IceServers>>> {
        self.ice.clone()
    }

    /// Asks the node for fresh ICE servers, which come over [`Client::ice`].
    pub async fn refresh_ice(&self) {
        // A client that is closed gets none.
        let _ = self.commands.send(Command::AskForIce).await;
    }

    /// Becomes a member of a room. Passing trouble is waited out; put a `timeout` around it for less patience.
    ///
    /// Dropping the future takes the join back.
    ///
    /// # Errors
    /// When the room is full, locked or forbidden, or the connection has stopped for good.
    pub async fn join(&self, room: &str, options: JoinOptions) -> Result<Room, JoinError> {
        let name = room.parse::<signal_protocol::RoomId>()?;
        let meta = options.meta.transpose().map_err(JoinError::Meta)?;
        let member = MemberId(self.last_member.fetch_add(1, Ordering::Relaxed));
        let queue = Arc::new(EventQueue::new(Arc::clone(&self.space)));
        let (joined, is_joined) = oneshot::channel();
        let gives_up = options.gives_up;
        let (room, copy) = (name.clone(), Arc::clone(&queue));
        let entry = Entry { member, room, meta, gives_up, queue: copy, joined };
        // It leaves when this future is dropped.
        let room = Room::new(RoomHandle::new(name, member, self.commands.clone()), queue);
        let closed = || LeftBecause::Stopped(Stop::Closed);
        self.commands.send(Command::Join(entry)).await.map_err(|_| closed())?;
        is_joined.await.unwrap_or_else(|_| Err(closed()))?;
        Ok(room)
    }

    /// Leaves all rooms and closes the connection; returns once the node has confirmed that, or after two seconds.
    pub async fn close(self) {
        let (closed, is_closed) = oneshot::channel();
        if self.commands.send(Command::Close(closed)).await.is_ok() {
            // A driver that has ended has closed everything.
            let _ = is_closed.await;
        }
    }
}
