//! A TURN client: sends requests, signs them, verifies the responses.

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

/// Retransmission timeout of the first copy of a datagram; it doubles with each further copy (RFC
/// 8489 §6.2.1).
const INITIAL_RTO: Duration = Duration::from_millis(500);
/// Datagrams buffered for [`TurnClient::receive`]; further ones are dropped, as UDP may.
const MAX_BUFFERED: usize = 64;
/// REQUESTED-TRANSPORT for UDP: the IANA protocol number and three reserved bytes (RFC 8656 §18.7).
const UDP: [u8; 4] = [17, 0, 0, 0];
/// The nonce has expired (RFC 8489 §9.2.5).
const STALE_NONCE: u16 = 438;
/// The relay holds an allocation of somebody else for this 5-tuple (RFC 8656 §7.2).
const ALLOCATION_MISMATCH: u16 = 437;
/// Local ports tried for one allocation while the relay answers 437 (RFC 8656 §7.4).
///
/// The operating system hands the port of a closed socket to the next one, while coturn keeps the
/// old 5-tuple for a while. So a single 437 says nothing about the health of a relay.
const MAX_LOCAL_PORTS: usize = 4;

/// Address family of an allocation (RFC 8656 §18.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, the default of a relay.
    V4 = 1,
    /// IPv6.
    V6 = 2,
}

/// One client of one relay, with one 5-tuple at a time.
pub struct TurnClient {
    transport: Transport,
    endpoint: Endpoint,
    address: SocketAddr,
    connect_options: ConnectOptions,
    /// The 5-tuple holds an allocation, which a change of the local port would orphan.
    is_allocated: bool,
    session: Option<AuthSession>,
    inbox: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// Realm, nonce and key that sign requests (RFC 8489 §9.2).
struct AuthSession {
    username: String,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: [u8; 16],
}

impl TurnClient {
    /// Connects to the first reachable address of a URL.
    ///
    /// # Errors
    /// The failure at the last address, or that the name has none.
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

    /// Connects to one address of an endpoint. Over UDP nothing is sent yet.
    ///
    /// # Errors
    /// When the connection or TLS fails.
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

    /// Connects to an address and waits for a Binding response, the only proof that something
    /// listens on a UDP port.
    ///
    /// # Errors
    /// As [`TurnClient::open`], and when there is no response.
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

    /// The certificate of a TLS relay, in DER.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.transport.certificate()
    }

    /// Returns this client's address as the relay sees it (RFC 8489 §3, Binding).
    ///
    /// # Errors
    /// When the relay does not answer with one.
    pub async fn binding(&mut self) -> Result<SocketAddr, RelayError> {
        let answer = success(self.transact(&Message::request(Method::Binding)).await?)?;
        answer.address(attribute::XOR_MAPPED_ADDRESS).ok_or(RelayError::Malformed)
    }

    /// Requests a relayed address (RFC 8656 §7) of the relay's preferred family.
    ///
    /// # Errors
    /// When the relay refuses the credential or has no capacity.
    pub async fn allocate(&mut self, credential: &Credential) -> Result<SocketAddr, RelayError> {
        self.allocate_with(credential, &[]).await
    }

    /// Requests a relayed address of one family (RFC 8656 §7).
    ///
    /// # Errors
    /// As [`TurnClient::allocate`]; 440 if the relay does not support the family.
    pub async fn allocate_in(
        &mut self,
        family: Family,
        credential: &Credential,
    ) -> Result<SocketAddr, RelayError> {
        self.allocate_with(credential, &[family]).await
    }

    /// Tries up to [`MAX_LOCAL_PORTS`] local ports, the next one after each 437.
    ///
    /// The refused sockets stay open until the end: the operating system must not hand out their
    /// ports again.
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

    /// Allocates from the current local port. The first request carries no credential; the 401
    /// response brings realm and nonce.
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

    /// Extends the allocation, or releases it when `lifetime` is zero (RFC 8656 §8).
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

    /// Permits a peer address to send to this client (RFC 8656 §9, §10). Nothing is sent to the
    /// peer.
    ///
    /// # Errors
    /// 403 for a peer that the relay denies, 443 for one of another family.
    pub async fn create_permission(&mut self, peer: IpAddr) -> Result<(), RelayError> {
        let request = || {
            Message::request(Method::CreatePermission)
                .with_address(attribute::XOR_PEER_ADDRESS, SocketAddr::new(peer, 0))
        };
        self.signed_request(request).await.map(drop)
    }

    /// Sends data to a peer through the relay (RFC 8656 §11.1). An indication: the relay sends no
    /// response.
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
    /// When none arrives in time, or the connection is lost.
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

    /// Sends a signed request and accepts only a signed success response.
    ///
    /// A stale nonce is replaced by the one in the 438 response, and the request repeated once (RFC
    /// 8489 §9.2.5).
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

    /// Signs a request. Without a session the request stays unsigned, and the relay answers 401.
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

    /// Sends a request, with retransmissions over UDP, until its response arrives or the step times
    /// out (RFC 8489 §6.2.1).
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
    /// Takes realm and nonce from the 401 to an unsigned request (RFC 8489 §9.2.3). A success
    /// instead means that the relay does not authenticate.
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
