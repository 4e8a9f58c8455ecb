//! A small TURN client over UDP (RFC 8656): enough to tell what a relay lets a credential do.

mod stun;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{error::Elapsed, timeout};

use stun::{Class, Message, Method, attribute, long_term_key};

/// How long the first copy of a request is waited for; each further copy doubles it
/// (RFC 8489 §6.2.1).
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How many copies of a request are sent.
const COPIES: u32 = 5;
/// How long relayed data is waited for.
const DATA_WAIT: Duration = Duration::from_secs(5);
/// REQUESTED-TRANSPORT for UDP, the IANA protocol number and three reserved bytes
/// (RFC 8656 §18.7).
const UDP: [u8; 4] = [17, 0, 0, 0];

/// Why the relay did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnError {
    /// It said no, with a code of RFC 8489 §14.8 or RFC 8656 §19.
    #[error("the relay refused with {0}")]
    Refused(u16),
    /// It said nothing in time.
    #[error("the relay did not answer")]
    Silent,
    /// It said something that makes no sense.
    #[error("the answer is malformed or not signed by the relay")]
    Malformed,
    /// The socket failed.
    #[error(transparent)]
    Socket(#[from] io::Error),
}

impl TurnError {
    /// The code of a refusal.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(code) => Some(*code),
            Self::Silent | Self::Malformed | Self::Socket(_) => None,
        }
    }
}

impl From<Elapsed> for TurnError {
    fn from(_: Elapsed) -> Self {
        Self::Silent
    }
}

/// One client of one relay: a 5-tuple.
pub(crate) struct TurnClient {
    socket: UdpSocket,
    relay: SocketAddr,
    session: Option<Session>,
    inbox: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// What signs requests (RFC 8489 §9.2).
struct Session {
    username: String,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: [u8; 16],
}

impl TurnClient {
    /// Opens a socket on loopback for talking to `relay`.
    pub(crate) async fn open(relay: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        Ok(Self { socket, relay, session: None, inbox: VecDeque::new() })
    }

    /// Asks for our own address as the relay sees it (RFC 8489 §3, Binding).
    pub(crate) async fn bind(&mut self) -> Result<SocketAddr, TurnError> {
        let answer = self.exchange(Message::request(Method::Binding)).await?;
        answer.address(attribute::XOR_MAPPED_ADDRESS).ok_or(TurnError::Malformed)
    }

    /// Asks for a relayed address (RFC 8656 §7).
    ///
    /// The first request carries no credential; its refusal brings realm and nonce.
    pub(crate) async fn allocate(
        &mut self,
        username: &str,
        password: &str,
    ) -> Result<SocketAddr, TurnError> {
        let request =
            || Message::request(Method::Allocate).with(attribute::REQUESTED_TRANSPORT, &UDP);
        let challenge = self.answer_to(&request()).await?;
        if challenge.error_code() != Some(401) {
            return Err(TurnError::Refused(challenge.error_code().unwrap_or_default()));
        }
        let realm = challenge.get(attribute::REALM).ok_or(TurnError::Malformed)?.to_vec();
        let nonce = challenge.get(attribute::NONCE).ok_or(TurnError::Malformed)?.to_vec();
        let key = long_term_key(username, &realm, password);
        self.session = Some(Session { username: username.to_owned(), realm, nonce, key });
        let answer = self.exchange(request()).await?;
        answer.address(attribute::XOR_RELAYED_ADDRESS).ok_or(TurnError::Malformed)
    }

    /// Asks that the allocation live on (RFC 8656 §8).
    pub(crate) async fn refresh(&mut self, lifetime: Duration) -> Result<(), TurnError> {
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).to_be_bytes();
        let request = Message::request(Method::Refresh).with(attribute::LIFETIME, &seconds);
        self.exchange(request).await.map(drop)
    }

    /// Asks that a peer may send to us (RFC 8656 §10).
    pub(crate) async fn permit(&mut self, peer: SocketAddr) -> Result<(), TurnError> {
        let request = Message::request(Method::CreatePermission)
            .with_address(attribute::XOR_PEER_ADDRESS, peer);
        self.exchange(request).await.map(drop)
    }

    /// Sends to a peer through the relay (RFC 8656 §11.1); nothing comes back for it.
    pub(crate) async fn send(&self, peer: SocketAddr, data: &[u8]) -> Result<(), TurnError> {
        let indication = Message::indication(Method::Send)
            .with_address(attribute::XOR_PEER_ADDRESS, peer)
            .with(attribute::DATA, data);
        self.socket.send_to(&indication.encode(), self.relay).await?;
        Ok(())
    }

    /// Waits for data that a peer sent through the relay (RFC 8656 §11.3).
    pub(crate) async fn receive(&mut self) -> Result<(SocketAddr, Vec<u8>), TurnError> {
        while self.inbox.is_empty() {
            let message = timeout(DATA_WAIT, self.next_message()).await??;
            self.keep_data(&message);
        }
        self.inbox.pop_front().ok_or(TurnError::Silent)
    }

    /// Signs a request if there is a session, sends it, and takes a success only.
    async fn exchange(&mut self, request: Message) -> Result<Message, TurnError> {
        let request = match &self.session {
            None => request,
            Some(session) => request
                .with(attribute::USERNAME, session.username.as_bytes())
                .with(attribute::REALM, &session.realm)
                .with(attribute::NONCE, &session.nonce)
                .signed(session.key),
        };
        let answer = self.answer_to(&request).await?;
        if let Some(code) = answer.error_code() {
            return Err(TurnError::Refused(code));
        }
        // RFC 8489 §9.2.5: a success that the relay did not sign is no success.
        let is_signed = self.session.as_ref().is_none_or(|session| answer.is_signed(session.key));
        if answer.class() == Class::Success && is_signed {
            Ok(answer)
        } else {
            Err(TurnError::Malformed)
        }
    }

    /// Sends a request until its answer comes (RFC 8489 §6.2.1).
    async fn answer_to(&mut self, request: &Message) -> Result<Message, TurnError> {
        let bytes = request.encode();
        for copy in 0..COPIES {
            self.socket.send_to(&bytes, self.relay).await?;
            let wait = FIRST_WAIT * 2_u32.pow(copy);
            if let Ok(answer) = timeout(wait, self.matching(request)).await {
                return answer;
            }
        }
        Err(TurnError::Silent)
    }

    async fn matching(&mut self, request: &Message) -> Result<Message, TurnError> {
        loop {
            let message = self.next_message().await?;
            if message.answers(request) {
                return Ok(message);
            }
            self.keep_data(&message);
        }
    }

    async fn next_message(&self) -> Result<Message, TurnError> {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).await?;
            if from == self.relay {
                return Message::decode(&buffer[..length]).ok_or(TurnError::Malformed);
            }
        }
    }

    fn keep_data(&mut self, message: &Message) {
        let peer = message.address(attribute::XOR_PEER_ADDRESS);
        if let (Some(peer), Some(data)) = (peer, message.get(attribute::DATA)) {
            self.inbox.push_back((peer, data.to_vec()));
        }
    }
}
