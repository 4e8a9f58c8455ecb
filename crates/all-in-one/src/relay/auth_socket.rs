//! The listener's socket, which verifies credentials before the `turn` server sees a request.
//!
//! The `turn` crate answers a wrong credential with 400 instead of 401 (RFC 8489 §9.2.4), and
//! cannot distinguish a new allocation from a refresh. So a request with an invalid credential is
//! passed on without its signature, and the server answers it like an unauthenticated one: 401 with
//! a nonce. The key of a valid request is stored in [`CurrentRequest`], where the server looks it up next. The crate has
//! no quota per user either: an allocation beyond it is answered here, with 486 (RFC 8656 §7.2).

use std::any::Any;
use std::net::SocketAddr;

use async_trait::async_trait;
use service_kit::clock;
use service_kit::secrets::SecretSource;
use stun::attributes::{ATTR_MESSAGE_INTEGRITY, ATTR_USERNAME};
use stun::error_code::CODE_ALLOC_QUOTA_REACHED;
use stun::integrity::MessageIntegrity;
use stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_REQUEST, METHOD_ALLOCATE, Message, MessageType, Setter as _,
};
use tokio::net::UdpSocket;
use turn::auth::generate_auth_key;
use turn_cred_service::credential;
use webrtc_util::{Conn, Error as ConnError};

use super::allocations::{AllocationOwner, Allocations};
use super::current_request::CurrentRequest;
use super::isolated_relay::not_connected;

/// Realm of the relay, sent with the first 401 (RFC 8489 §9.2.1).
pub const REALM: &str = "signal";

/// Sizes of the STUN message header (RFC 8489 §5) and of an attribute header (§14).
const MESSAGE_HEADER: usize = 20;
const ATTRIBUTE_HEADER: usize = 4;

/// The UDP socket of the listener.
pub(super) struct AuthSocket {
    socket: UdpSocket,
    secrets: SecretSource,
    current: CurrentRequest,
    allocations: Allocations,
    /// The most allocations of one user.
    user_quota: usize,
}

/// What becomes of a datagram.
enum Filtered {
    /// So many of its bytes go to the server.
    Pass(usize),
    /// It is answered with this.
    Answer(Vec<u8>),
}

impl AuthSocket {
    pub(super) fn new(
        socket: UdpSocket,
        secrets: SecretSource,
        allocations: Allocations,
        current: CurrentRequest,
        user_quota: usize,
    ) -> Self {
        Self { socket, secrets, current, allocations, user_quota }
    }

    /// Decides about a datagram of a client.
    fn filter(&self, datagram: &mut [u8], client: SocketAddr) -> Filtered {
        let length = datagram.len();
        let Some(signed) = SignedRequest::read(datagram) else { return Filtered::Pass(length) };
        let Some(key) = self.valid_key(&signed) else {
            return Filtered::Pass(truncate_message(datagram, signed.signature_offset));
        };
        let owner = AllocationOwner { user: signed.user().to_owned(), client };
        let is_allocation = signed.message.typ.method == METHOD_ALLOCATE;
        if is_allocation && self.allocations.is_quota_reached(&owner, self.user_quota) {
            return signed.quota_reached(key).map_or(Filtered::Pass(length), Filtered::Answer);
        }
        self.current.set(key, owner);
        Filtered::Pass(length)
    }

    /// Returns the key that verifies the request's signature.
    fn valid_key(&self, signed: &SignedRequest) -> Option<Vec<u8>> {
        let SignedRequest { message, username, .. } = signed;
        let ended = credential::expiry(username)? < clock::unix_seconds();
        if ended && message.typ.method == METHOD_ALLOCATE {
            return None; // a live allocation outlasts its credential, a new one does not begin
        }
        let secrets = self.secrets.current();
        let keys = secrets.all().map(|secret| {
            generate_auth_key(username, REALM, &credential::password(secret, username))
        });
        let is_right = |key: &Vec<u8>| MessageIntegrity(key.clone()).check(&mut message.clone());
        keys.into_iter().find(|key| is_right(key).is_ok())
    }
}

/// A request with a username and a signature.
struct SignedRequest {
    message: Message,
    username: String,
    signature_offset: usize,
}

impl SignedRequest {
    /// Parses a datagram; `None` leaves everything else to the server.
    fn read(datagram: &[u8]) -> Option<Self> {
        let mut message = Message { raw: datagram.to_vec(), ..Message::default() };
        message.decode().ok()?;
        let username = String::from_utf8(message.get(ATTR_USERNAME).ok()?).ok()?;
        let attributes = message.attributes.0.iter();
        let before = attributes.take_while(|attribute| attribute.typ != ATTR_MESSAGE_INTEGRITY);
        let lengths = before.map(|a| ATTRIBUTE_HEADER + usize::from(a.length).next_multiple_of(4));
        let signature_offset = MESSAGE_HEADER + lengths.sum::<usize>();
        let is_signed = message.contains(ATTR_MESSAGE_INTEGRITY);
        let is_request = message.typ.class == CLASS_REQUEST;
        (is_signed && is_request).then_some(Self { message, username, signature_offset })
    }

    /// Returns the user that a quota counts: what follows the expiry, which differs from credential to credential.
    fn user(&self) -> &str {
        self.username.split_once(':').map_or("", |(_, user)| user)
    }

    /// Builds the answer to an allocation beyond the quota, signed with the key of the request (RFC 8489 §9.2.5).
    fn quota_reached(&self, key: Vec<u8>) -> Option<Vec<u8>> {
        let mut answer = Message { transaction_id: self.message.transaction_id, ..Message::new() };
        let kind = MessageType::new(METHOD_ALLOCATE, CLASS_ERROR_RESPONSE);
        answer.set_type(kind);
        answer.write_header();
        CODE_ALLOC_QUOTA_REACHED.add_to(&mut answer).ok()?;
        MessageIntegrity(key).add_to(&mut answer).ok()?;
        Some(answer.raw)
    }
}

/// Truncates a message and updates the length in its header (RFC 8489 §5).
fn truncate_message(datagram: &mut [u8], length: usize) -> usize {
    let Ok(attributes) = u16::try_from(length - MESSAGE_HEADER) else { return datagram.len() };
    datagram[2..4].copy_from_slice(&attributes.to_be_bytes());
    length
}

#[async_trait]
impl Conn for AuthSocket {
    async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), ConnError> {
        loop {
            let (length, from) = self.socket.recv_from(buf).await?;
            match self.filter(&mut buf[..length], from) {
                Filtered::Pass(length) => return Ok((length, from)),
                // An answer that is lost is asked for again (RFC 8489 §6.2.1).
                Filtered::Answer(answer) => drop(self.socket.send_to(&answer, from).await),
            }
        }
    }

    async fn send_to(&self, buf: &[u8], target: SocketAddr) -> Result<usize, ConnError> {
        Ok(self.socket.send_to(buf, target).await?)
    }

    async fn recv(&self, buf: &mut [u8]) -> Result<usize, ConnError> {
        self.recv_from(buf).await.map(|(length, _)| length)
    }

    async fn connect(&self, _: SocketAddr) -> Result<(), ConnError> {
        Err(not_connected())
    }

    async fn send(&self, _: &[u8]) -> Result<usize, ConnError> {
        Err(not_connected())
    }

    fn local_addr(&self) -> Result<SocketAddr, ConnError> {
        Ok(self.socket.local_addr()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> Result<(), ConnError> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}
