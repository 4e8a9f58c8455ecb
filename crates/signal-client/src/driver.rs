//! The task behind a client: does what the machine says, with real sockets and the real time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::BoxFuture;
use signal_protocol::IceServers;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::command::{Answer, Command, Entry};
use crate::core::{
    Effect, Input, LeftBecause, LinkId, Machine, MemberId, RoomEvent, SendError, State, Ticket,
    Token, TokenSource,
};
use crate::provider::Fetch;
use crate::queue::{Enqueued, EventQueue};
use crate::socket::{Inbox, SocketEvent, SocketTask};
use crate::transport::{ABNORMAL, Connector, Unopened};
use crate::{clock, random};

/// How long the node may take to confirm that rooms are left, when the client is closed.
const LEFT_WITHIN: Duration = Duration::from_secs(2);
/// Frames that are heard and not handled: a batch of the node.
const INBOX: usize = 256;
/// A wait without an end, in practice.
const LONG: Duration = Duration::from_secs(3_600);

/// What a driver is made of.
pub(crate) struct Setup {
    pub(crate) connector: Connector,
    pub(crate) hello: String,
    pub(crate) tokens: TokenSource,
    pub(crate) fetch: Option<Fetch>,
    pub(crate) state: watch::Sender<State>,
    pub(crate) ice: watch::Sender<Option<Arc<IceServers>>>,
    pub(crate) space: Arc<Notify>,
}

/// A room as the driver knows it.
struct RoomEntry {
    queue: Arc<EventQueue>,
    /// Tells [`Client::join`](crate::Client::join) how it went.
    joined: Option<oneshot::Sender<Result<(), LeftBecause>>>,
    /// Whether a refusal for a passing reason ends the join.
    gives_up: bool,
}

pub(crate) struct Driver {
    machine: Machine,
    connector: Connector,
    hello: String,
    /// Of sockets so far; each takes the next address.
    attempts: usize,
    sockets: HashMap<LinkId, SocketTask>,
    inbox: Inbox,
    heard: mpsc::Receiver<(LinkId, SocketEvent)>,
    fetch: Option<Fetch>,
    fetching: Option<BoxFuture<'static, Option<Token>>>,
    rooms: HashMap<MemberId, RoomEntry>,
    answers: HashMap<Ticket, Answer>,
    last_ticket: u64,
    /// Leaves that a node has not confirmed.
    leaving: HashSet<Ticket>,
    /// Since when the client is closing, and who waits for that.
    closes_by: Option<Instant>,
    closed: Vec<oneshot::Sender<()>>,
    state: watch::Sender<State>,
    ice: watch::Sender<Option<Arc<IceServers>>>,
    space: Arc<Notify>,
}

impl Driver {
    pub(crate) fn new(setup: Setup) -> Self {
        let Setup { connector, hello, tokens, fetch, state, ice, space } = setup;
        let mut rng = Rng::with_seed(random::seed());
        let attempts = usize::from(rng.u16(..));
        let machine = Machine::new(tokens, Box::new(|_| random::key()), rng, Instant::now());
        let (inbox, heard) = mpsc::channel(INBOX);
        Self {
            machine,
            connector,
            hello,
            attempts,
            sockets: HashMap::new(),
            inbox,
            heard,
            fetch,
            fetching: None,
            rooms: HashMap::new(),
            answers: HashMap::new(),
            last_ticket: 0,
            leaving: HashSet::new(),
            closes_by: None,
            closed: Vec::new(),
            state,
            ice,
            space,
        }
    }

    /// Runs until the client is closed, or every handle is gone.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while !self.is_done() {
            let wake = self.wake_at();
            let reads = !self.rooms.values().any(|room| room.queue.is_full());
            tokio::select! {
                command = commands.recv(), if self.closes_by.is_none() => match command {
                    Some(command) => self.command(command),
                    None => self.close(),
                },
                Some((link, heard)) = self.heard.recv(), if reads => self.on_socket_event(link, heard),
                () = self.space.notified(), if !reads => {}
                token = fetched(&mut self.fetching) => self.fetched(token),
                () = sleep_until(wake) => self.tick(reads),
            }
            self.perform();
        }
        self.on(Input::Stop);
        self.perform();
    }

    fn on(&mut self, input: Input<'_>) {
        self.machine.on(input, Instant::now());
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let wakes = [self.machine.wake_at(now), self.closes_by];
        wakes.into_iter().flatten().min().unwrap_or(now + LONG)
    }

    fn is_done(&self) -> bool {
        let late = self.closes_by.is_some_and(|by| Instant::now() >= by);
        late || self.closes_by.is_some() && self.leaving.is_empty()
    }

    fn tick(&mut self, reads: bool) {
        if !reads {
            self.on(Input::NotReading);
        }
        self.on(Input::Tick);
    }

    fn fetched(&mut self, token: Option<Token>) {
        self.fetching = None;
        self.on(Input::Token { token, unix_now: clock::unix_now() });
    }

    fn on_socket_event(&mut self, link: LinkId, heard: SocketEvent) {
        if !self.sockets.contains_key(&link) {
            return;
        }
        match heard {
            SocketEvent::Text(text) => self.on(Input::Text { link, text: &text }),
            SocketEvent::Alive => self.on(Input::Alive { link }),
            SocketEvent::Closed(unopened) => self.lost(link, &unopened),
        }
    }

    fn lost(&mut self, link: LinkId, ended: &Unopened) {
        self.sockets.remove(&link);
        let Unopened { code, message, retry_after } = ended;
        self.on(Input::Closed { link, code: *code, message, retry_after: *retry_after });
    }

    fn ticket(&mut self, answer: Answer) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.answers.insert(ticket, answer);
        ticket
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Join(entry) => self.join(entry),
            Command::Signal { member, to, data, answer } => {
                let ticket = self.ticket(answer);
                self.on(Input::Signal { member, ticket, to, data });
            }
            Command::Volatile { member, to, data } => self.on(Input::Volatile { member, to, data }),
            Command::Update { member, meta, answer } => {
                let ticket = self.ticket(answer);
                self.on(Input::Update { member, ticket, meta });
            }
            Command::Kick { member, peer, ban, answer } => {
                let ticket = self.ticket(answer);
                self.on(Input::Kick { member, ticket, peer, ban });
            }
            Command::Leave { member, answer } => self.leave(member, answer),
            Command::AskForIce => self.on(Input::AskForIce),
            Command::Close(closed) => {
                self.closed.push(closed);
                self.close();
            }
        }
    }

    fn join(&mut self, entry: Entry) {
        let Entry { member, room, meta, gives_up, queue, joined } = entry;
        self.rooms.insert(member, RoomEntry { queue, joined: Some(joined), gives_up });
        self.on(Input::Join { member, room, meta });
    }

    fn leave(&mut self, member: MemberId, answer: Option<Answer>) {
        let ticket = self.ticket(answer.unwrap_or_else(|| oneshot::channel().0));
        self.leaving.insert(ticket);
        self.on(Input::Leave { member, ticket });
    }

    fn close(&mut self) {
        self.closes_by = Some(Instant::now() + LEFT_WITHIN);
        let members: Vec<_> = self.rooms.keys().copied().collect();
        for member in members {
            self.leave(member, None);
        }
    }

    /// Does what the machine says.
    fn perform(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Open { link, token } => self.open(link, token),
                Effect::Send { link, text } => self.send(link, text),
                Effect::Close { link, code } => {
                    if let Some(socket) = self.sockets.remove(&link) {
                        socket.close(code);
                    }
                }
                Effect::FetchToken => self.fetching = self.fetch.as_ref().map(|fetch| fetch()),
                Effect::State(state) => drop(self.state.send_replace(state)),
                Effect::Ice(ice) => drop(self.ice.send_replace(Some(Arc::new(ice)))),
                Effect::Room { member, event } => self.deliver(member, event),
                Effect::Settled { ticket, result } => self.settled(ticket, result),
                Effect::Welcomed { .. }
                | Effect::Moving(_)
                | Effect::Position { .. }
                | Effect::Unreadable { .. } => {}
            }
        }
    }

    fn open(&mut self, link: LinkId, token: Option<Token>) {
        let hello = token.is_none().then(|| self.hello.clone());
        self.attempts = self.attempts.wrapping_add(1);
        let opening = self.connector.clone().open(self.attempts, token);
        let socket = SocketTask::start(link, opening, hello, self.inbox.clone());
        self.sockets.insert(link, socket);
    }

    fn send(&mut self, link: LinkId, text: String) {
        let Some(socket) = self.sockets.get(&link) else { return };
        if !socket.send(text) {
            let message = "the node does not read what this client sends".to_owned();
            self.lost(link, &Unopened { code: ABNORMAL, message, retry_after: None });
        }
    }

    fn deliver(&mut self, member: MemberId, event: RoomEvent) {
        let Some(room) = self.rooms.get_mut(&member) else { return };
        let answer = match &event {
            RoomEvent::Joined { .. } => Some(Ok(())),
            RoomEvent::Left(because) => Some(Err(because.clone())),
            // The room is dropped with the join, and so it is left.
            RoomEvent::Delayed(refusal) if room.gives_up => {
                Some(Err(LeftBecause::Refused(refusal.clone())))
            }
            RoomEvent::Away
            | RoomEvent::PeerJoined { .. }
            | RoomEvent::PeerUpdated { .. }
            | RoomEvent::PeerLeft { .. }
            | RoomEvent::Signal { .. }
            | RoomEvent::Volatile { .. }
            | RoomEvent::Reset { .. }
            | RoomEvent::Delayed(_)
            | RoomEvent::Expired => None,
        };
        if let Some(answer) = answer
            && let Some(joined) = room.joined.take()
        {
            // Nobody listens where the join was taken back.
            let _ = joined.send(answer);
        }
        let has_ended = matches!(event, RoomEvent::Left(_));
        let enqueued = room.queue.push(event);
        if has_ended {
            self.rooms.remove(&member);
        } else if enqueued == Enqueued::Abandoned {
            self.leave(member, None);
        }
    }

    fn settled(&mut self, ticket: Ticket, result: Result<(), SendError>) {
        self.leaving.remove(&ticket);
        if let Some(answer) = self.answers.remove(&ticket) {
            // Nobody listens where the future was dropped.
            let _ = answer.send(result);
        }
    }
}

/// Waits for a token, if one is being fetched.
async fn fetched(fetching: &mut Option<BoxFuture<'static, Option<Token>>>) -> Option<Token> {
    match fetching {
        Some(fetching) => fetching.await,
        None => std::future::pending().await,
    }
}
