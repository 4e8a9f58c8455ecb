//! One client of one relay: requests, their signatures, their answers.

use std::collections::VecDeque;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::stun::{Class, Message, Method, attribute, long_term_key};
use super::transport::Transport;
use super::{ConnectOptions, Endpoint, RelayError};
use crate::credential::Credential;
use crate::pool::IceUri;

/// How long the first copy of a datagram is waited for; each further copy doubles it
/// (RFC 8489 §6.2.1).
const INITIAL_RTO: Duration = Duration::from_millis(500);
/// How much relayed data is kept for [`TurnClient::receive`]; more is lost, as datagrams are.
const MAX_BUFFERED: usize = 64;
/// REQUESTED-TRANSPORT for UDP, the IANA protocol number and three reserved bytes
/// (RFC 8656 §18.7).
const UDP: [u8; 4] = [17, 0, 0, 0];
/// The nonce has become stale (RFC 8489 §9.2.5).
const STALE_NONCE: u16 = 438;
/// The relay knows our address and port from somebody else (RFC 8656 §7.2).
const ALLOCATION_MISMATCH: u16 = 437;
/// From how many local ports an allocation is asked for: ours, and three others if the relay knows
/// them from somebody else (RFC 8656 §7.4).
///
/// The system gives the port of a closed socket to the next one, and coturn remembers for a while
/// whose it was. So 437 says nothing about the health of a relay before several ports got it.
const MAX_LOCAL_PORTS: usize = 4;

/// The kind of relayed address that is asked for (RFC 8656 §18.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, which relays give where nothing is asked for.
    V4 = 1,
    /// IPv6.
    V6 = 2,
}

/// One client of one relay: a 5-tuple.
pub struct TurnClient {
    transport: Transport,
    endpoint: Endpoint,
    address: SocketAddr,
    connect_options: ConnectOptions,
    /// Whether the 5-tuple has an allocation of ours, which another local port would leave behind.
    is_allocated: bool,
    session: Option<AuthSession>,
    inbox: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// What signs requests (RFC 8489 §9.2).
struct AuthSession {
    username: String,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: [u8; 16],
}

impl TurnClient {
    /// Follows a URL to the first address of the relay that can be reached.
    ///
    /// # Errors
    /// Why the last address could not be reached, or that there is none.
    pub async fn connect(
        uri: &IceUri,
        connect_options: &ConnectOptions,
    ) -> Result<Self, RelayError> {
        let endpoint = Endpoint::from(uri);
        let addresses = endpoint.resolve(connect_options.step_timeout).await?;
        let mut failure = RelayError::TimedOut;
        for address in &addresses {
            let reached = match &addresses[..] {
                [_] => Self::open(&endpoint, *address, connect_options).await,
                _ => Self::open_checked(&endpoint, *address, connect_options).await,
            };
            match reached {
                Ok(client) => return Ok(client),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Opens a way to one address of an endpoint. Over UDP nothing is sent yet.
    ///
    /// # Errors
    /// When nobody listens there or TLS fails.
    pub async fn open(
        endpoint: &Endpoint,
        address: SocketAddr,
        connect_options: &ConnectOptions,
    ) -> Result<Self, RelayError> {
        let transport = open_transport(endpoint, address, connect_options).await?;
        let (endpoint, connect_options) = (endpoint.clone(), connect_options.clone());
        let (session, inbox) = (None, VecDeque::new());
        Ok(Self {
            transport,
            endpoint,
            address,
            connect_options,
            is_allocated: false,
            session,
            inbox,
        })
    }

    /// Opens a way to an address and sees that somebody answers there.
    ///
    /// # Errors
    /// As [`TurnClient::open`], and when nobody answers.
    pub async fn open_checked(
        endpoint: &Endpoint,
        address: SocketAddr,
        connect_options: &ConnectOptions,
    ) -> Result<Self, RelayError> {
        let mut client = Self::open(endpoint, address, connect_options).await?;
        match client.binding().await {
            Ok(_) | Err(RelayError::ErrorResponse(_)) => Ok(client),
            Err(error) => Err(error),
        }
    }

    /// The certificate that the relay showed, in DER, where TLS is spoken.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.transport.certificate()
    }

    /// Asks for our own address as the relay sees it (RFC 8489 §3, Binding).
    ///
    /// # Errors
    /// When the relay does not tell.
    pub async fn binding(&mut self) -> Result<SocketAddr, RelayError> {
        let answer = success(self.transact(&Message::request(Method::Binding)).await?)?;
        answer.address(attribute::XOR_MAPPED_ADDRESS).ok_or(RelayError::Malformed)
    }

    /// Asks for a relayed address (RFC 8656 §7), in the family the relay likes.
    ///
    /// # Errors
    /// When there is none for this credential.
    pub async fn allocate(&mut self, credential: &Credential) -> Result<SocketAddr, RelayError> {
        self.allocate_with(credential, &[]).await
    }

    /// Asks for a relayed address of one family (RFC 8656 §7).
    ///
    /// # Errors
    /// As [`TurnClient::allocate`]; 440 says that the relay has none of this family.
    pub async fn allocate_in(
        &mut self,
        family: Family,
        credential: &Credential,
    ) -> Result<SocketAddr, RelayError> {
        self.allocate_with(credential, &[family]).await
    }

    /// Asks from [`MAX_LOCAL_PORTS`] local ports at most, the next one after each refusal with 437.
    ///
    /// The refused ports stay open until then, so that the system gives out none of them again.
    async fn allocate_with(
        &mut self,
        credential: &Credential,
        families: &[Family],
    ) -> Result<SocketAddr, RelayError> {
        let mut refused = Vec::new();
        loop {
            let asked = self.allocate_from_current_port(credential, families).await;
            let is_mismatch = matches!(asked, Err(RelayError::ErrorResponse(ALLOCATION_MISMATCH)));
            if !is_mismatch || self.is_allocated || refused.len() + 1 == MAX_LOCAL_PORTS {
                self.is_allocated |= asked.is_ok();
                return asked;
            }
            let other = open_transport(&self.endpoint, self.address, &self.connect_options).await?;
            refused.push(mem::replace(&mut self.transport, other));
            self.inbox.clear();
        }
    }

    /// Asks from the local port that is open. The first request carries no credential; its refusal
    /// brings realm and nonce.
    async fn allocate_from_current_port(
        &mut self,
        credential: &Credential,
        families: &[Family],
    ) -> Result<SocketAddr, RelayError> {
        let request = || {
            let bare =
                Message::request(Method::Allocate).with(attribute::REQUESTED_TRANSPORT, &UDP);
            families.iter().fold(bare, |request, family| {
                request.with(attribute::REQUESTED_ADDRESS_FAMILY, &[*family as u8, 0, 0, 0])
            })
        };
        let challenge = self.transact(&request()).await?;
        self.session = Some(AuthSession::from_challenge(&challenge, credential)?);
        let answer = self.signed_request(request).await?;
        answer.address(attribute::XOR_RELAYED_ADDRESS).ok_or(RelayError::Malformed)
    }

    /// Asks that the allocation live on, or end when `lifetime` is zero (RFC 8656 §8).
    ///
    /// # Errors
    /// When the relay refuses.
    pub async fn refresh(&mut self, lifetime: Duration) -> Result<(), RelayError> {
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).to_be_bytes();
        let request = || Message::request(Method::Refresh).with(attribute::LIFETIME, &seconds);
        self.signed_request(request).await?;
        self.is_allocated &= !lifetime.is_zero();
        Ok(())
    }

    /// Asks that a peer may send to us (RFC 8656 §9, §10). Nothing is sent to the peer.
    ///
    /// # Errors
    /// When the relay refuses: 403 for a peer it denies, 443 for one of another family.
    pub async fn create_permission(&mut self, peer: IpAddr) -> Result<(), RelayError> {
        let request = || {
            Message::request(Method::CreatePermission)
                .with_address(attribute::XOR_PEER_ADDRESS, SocketAddr::new(peer, 0))
        };
        self.signed_request(request).await.map(drop)
    }

    /// Sends to a peer through the relay (RFC 8656 §11.1); nothing comes back for it.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn send(&mut self, peer: SocketAddr, data: &[u8]) -> Result<(), RelayError> {
        let indication = Message::indication(Method::Send)
            .with_address(attribute::XOR_PEER_ADDRESS, peer)
            .with(attribute::DATA, data);
        Ok(self.transport.send(&indication.encode()).await?)
    }

    /// Waits for data that a peer sent through the relay (RFC 8656 §11.3).
    ///
    /// # Errors
    /// When none comes in time, or the way to the relay is lost.
    pub async fn receive(&mut self) -> Result<(SocketAddr, Vec<u8>), RelayError> {
        loop {
            if let Some(data) = self.inbox.pop_front() {
                return Ok(data);
            }
            let message =
                timeout(self.connect_options.step_timeout, self.transport.receive()).await??;
            self.buffer_data(&message);
        }
    }

    /// Sends a signed request and takes a signed success only.
    ///
    /// A stale nonce is replaced by the one that its refusal brings, once (RFC 8489 §9.2.5).
    async fn signed_request(
        &mut self,
        request: impl Fn() -> Message,
    ) -> Result<Message, RelayError> {
        let mut answer = self.transact(&self.sign(request())).await?;
        if answer.error_code() == Some(STALE_NONCE) {
            self.renew_nonce(&answer)?;
            answer = self.transact(&self.sign(request())).await?;
        }
        let answer = success(answer)?;
        let is_signed = self.session.as_ref().is_some_and(|session| answer.is_signed(session.key));
        is_signed.then_some(answer).ok_or(RelayError::Malformed)
    }

    /// Signs a request; before there is a session it stays as it is, and the relay refuses it.
    fn sign(&self, request: Message) -> Message {
        match &self.session {
            None => request,
            Some(session) => request
                .with(attribute::USERNAME, session.username.as_bytes())
                .with(attribute::REALM, &session.realm)
                .with(attribute::NONCE, &session.nonce)
                .signed(session.key),
        }
    }

    fn renew_nonce(&mut self, refusal: &Message) -> Result<(), RelayError> {
        let nonce = refusal.get(attribute::NONCE).ok_or(RelayError::Malformed)?;
        if let Some(session) = &mut self.session {
            session.nonce = nonce.to_vec();
        }
        Ok(())
    }

    /// Sends a request until its answer comes or patience ends (RFC 8489 §6.2.1).
    async fn transact(&mut self, request: &Message) -> Result<Message, RelayError> {
        let bytes = request.encode();
        timeout(self.connect_options.step_timeout, async {
            let mut rto = if self.transport.is_unreliable() { INITIAL_RTO } else { Duration::MAX };
            loop {
                self.transport.send(&bytes).await?;
                if let Ok(answer) = timeout(rto, self.receive_response(request)).await {
                    return answer;
                }
                rto = rto.saturating_mul(2);
            }
        })
        .await?
    }

    async fn receive_response(&mut self, request: &Message) -> Result<Message, RelayError> {
        loop {
            let message = self.transport.receive().await?;
            if message.answers(request) {
                return Ok(message);
            }
            self.buffer_data(&message);
        }
    }

    fn buffer_data(&mut self, message: &Message) {
        let peer = message.address(attribute::XOR_PEER_ADDRESS);
        if let (Some(peer), Some(data), true) =
            (peer, message.get(attribute::DATA), self.inbox.len() < MAX_BUFFERED)
        {
            self.inbox.push_back((peer, data.to_vec()));
        }
    }
}

async fn open_transport(
    endpoint: &Endpoint,
    address: SocketAddr,
    connect_options: &ConnectOptions,
) -> Result<Transport, RelayError> {
    timeout(
        connect_options.step_timeout,
        Transport::open(endpoint, address, &connect_options.trust),
    )
    .await?
}

impl AuthSession {
    /// Takes realm and nonce from the refusal of a request without a credential (RFC 8489 §9.2.3).
    fn from_challenge(challenge: &Message, credential: &Credential) -> Result<Self, RelayError> {
        match challenge.error_code() {
            Some(401) => {}
            Some(code) => return Err(RelayError::ErrorResponse(code)),
            None if challenge.class() == Class::Success => {
                return Err(RelayError::NoAuthentication);
            }
            None => return Err(RelayError::Malformed),
        }
        let realm = challenge.get(attribute::REALM).ok_or(RelayError::Malformed)?.to_vec();
        let nonce = challenge.get(attribute::NONCE).ok_or(RelayError::Malformed)?.to_vec();
        let Credential { username, password } = credential;
        let key = long_term_key(username, &realm, password);
        Ok(Self { username: username.clone(), realm, nonce, key })
    }
}

fn success(answer: Message) -> Result<Message, RelayError> {
    match (answer.class(), answer.error_code()) {
        (Class::Success, None) => Ok(answer),
        (_, Some(code)) => Err(RelayError::ErrorResponse(code)),
        (Class::Request | Class::Indication | Class::Error, None) => Err(RelayError::Malformed),
    }
}
