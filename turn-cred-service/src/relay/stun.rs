//! Encodes and decodes STUN messages (RFC 8489 §5, §14).

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sha1::Sha1;

/// Bytes 4–7 of every STUN message (RFC 8489 §5).
const MAGIC_COOKIE: u32 = 0x2112_A442;
/// XOR mask of a port: the upper half of the cookie (RFC 8489 §14.2).
const PORT_MASK: u16 = 0x2112;
/// Size of the message header.
pub(super) const HEADER_BYTES: usize = 20;
/// Size of MESSAGE-INTEGRITY with its attribute header (RFC 8489 §14.5).
const INTEGRITY_BYTES: usize = 24;

/// Attribute types (RFC 8489 §18.3.1, RFC 8656 §18).
pub(super) mod attribute {
    pub(in crate::relay) const USERNAME: u16 = 0x0006;
    pub(in crate::relay) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(in crate::relay) const ERROR_CODE: u16 = 0x0009;
    pub(in crate::relay) const LIFETIME: u16 = 0x000D;
    pub(in crate::relay) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(in crate::relay) const DATA: u16 = 0x0013;
    pub(in crate::relay) const REALM: u16 = 0x0014;
    pub(in crate::relay) const NONCE: u16 = 0x0015;
    pub(in crate::relay) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(in crate::relay) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(in crate::relay) const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub(in crate::relay) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
}

/// Methods (RFC 8489 §18.2, RFC 8656 §17).
#[derive(Clone, Copy, Debug)]
pub(super) enum Method {
    Binding = 0x001,
    Allocate = 0x003,
    Refresh = 0x004,
    Send = 0x006,
    CreatePermission = 0x008,
}

/// Message classes (RFC 8489 §5), as the two class bits of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Request = 0x000,
    Indication = 0x010,
    Success = 0x100,
    Error = 0x110,
}

/// A message. All methods used here are below 16, so their bits need no spreading around the class
/// bits.
#[derive(Clone, Debug)]
pub(super) struct Message {
    kind: u16,
    transaction: [u8; 12],
    attributes: Vec<(u16, Vec<u8>)>,
    key: Option<[u8; 16]>,
    /// The bytes as received; the signature covers them.
    raw: Vec<u8>,
}

impl Message {
    pub(super) fn request(method: Method) -> Self {
        Self::new(method, Class::Request)
    }

    pub(super) fn indication(method: Method) -> Self {
        Self::new(method, Class::Indication)
    }

    fn new(method: Method, class: Class) -> Self {
        let kind = method as u16 | class as u16;
        let transaction = service_kit::random::bytes();
        Self { kind, transaction, attributes: Vec::new(), key: None, raw: Vec::new() }
    }

    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.attributes.push((kind, value.to_vec()));
        self
    }

    /// Adds an address, combined by XOR with cookie and transaction so that a NAT does not rewrite it
    /// (§14.2).
    pub(super) fn with_address(self, kind: u16, address: SocketAddr) -> Self {
        let port = (address.port() ^ PORT_MASK).to_be_bytes();
        let value = match address.ip() {
            IpAddr::V4(ip) => {
                let hidden = ip.to_bits() ^ MAGIC_COOKIE;
                [&[0, 1][..], &port, &hidden.to_be_bytes()].concat()
            }
            IpAddr::V6(ip) => {
                let hidden = ip.to_bits() ^ self.mask();
                [&[0, 2][..], &port, &hidden.to_be_bytes()].concat()
            }
        };
        self.with(kind, &value)
    }

    /// XOR mask of an IPv6 address: the cookie, then the transaction (§14.2).
    fn mask(&self) -> u128 {
        let mut mask = [0; 16];
        mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        mask[4..].copy_from_slice(&self.transaction);
        u128::from_be_bytes(mask)
    }

    /// Signs the message with a long-term key when it is encoded.
    pub(super) fn signed(mut self, key: [u8; 16]) -> Self {
        self.key = Some(key);
        self
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(MAGIC_COOKIE.to_be_bytes());
        bytes.extend(self.transaction);
        for (kind, value) in &self.attributes {
            push_attribute(&mut bytes, *kind, value);
        }
        let length = bytes.len() - HEADER_BYTES;
        set_length(&mut bytes, length);
        if let Some(key) = self.key {
            // The length field covers the signature that follows (§14.5), so it is set before the
            // HMAC.
            set_length(&mut bytes, length + INTEGRITY_BYTES);
            let signature = hmac_of(&key, &bytes).finalize().into_bytes();
            push_attribute(&mut bytes, attribute::MESSAGE_INTEGRITY, &signature);
        }
        bytes
    }

    /// Decodes a message that fills `bytes` exactly.
    ///
    /// Attributes after MESSAGE-INTEGRITY are not signed, and ignored (§14.5).
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, mut rest) = bytes.split_at_checked(HEADER_BYTES)?;
        if message_bytes(header)? != bytes.len() {
            return None;
        }
        let mut attributes = Vec::new();
        while let Some((head, after)) = rest.split_at_checked(4) {
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            attributes.push((kind, after.get(..length)?.to_vec()));
            if kind == attribute::MESSAGE_INTEGRITY {
                break;
            }
            rest = after.get(length.next_multiple_of(4)..)?;
        }
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let transaction = header[8..].try_into().ok()?;
        Some(Self { kind, transaction, attributes, key: None, raw: bytes.to_vec() })
    }

    pub(super) fn class(&self) -> Class {
        match self.kind & 0x110 {
            0x000 => Class::Request,
            0x010 => Class::Indication,
            0x100 => Class::Success,
            _ => Class::Error,
        }
    }

    pub(super) fn answers(&self, request: &Self) -> bool {
        matches!(self.class(), Class::Success | Class::Error)
            && self.transaction == request.transaction
    }

    pub(super) fn get(&self, kind: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(found, _)| *found == kind).map(|(_, value)| &**value)
    }

    pub(super) fn address(&self, kind: u16) -> Option<SocketAddr> {
        let (head, hidden) = self.get(kind)?.split_at_checked(4)?;
        let port = u16::from_be_bytes([head[2], head[3]]) ^ PORT_MASK;
        let ip = match head[1] {
            1 => {
                let hidden = u32::from_be_bytes(hidden.try_into().ok()?);
                IpAddr::V4(Ipv4Addr::from_bits(hidden ^ MAGIC_COOKIE))
            }
            2 => {
                let hidden = u128::from_be_bytes(hidden.try_into().ok()?);
                IpAddr::V6(Ipv6Addr::from_bits(hidden ^ self.mask()))
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    /// Reads ERROR-CODE: a hundreds digit and the rest (§14.8).
    pub(super) fn error_code(&self) -> Option<u16> {
        let value = self.get(attribute::ERROR_CODE)?;
        Some(u16::from(*value.get(2)?) * 100 + u16::from(*value.get(3)?))
    }

    /// Verifies MESSAGE-INTEGRITY over the bytes before it.
    pub(super) fn is_signed(&self, key: [u8; 16]) -> bool {
        let Some(((attribute::MESSAGE_INTEGRITY, signature), signed)) =
            self.attributes.split_last().map(|((kind, value), before)| ((*kind, value), before))
        else {
            return false;
        };
        let length: usize =
            signed.iter().map(|(_, value)| 4 + value.len().next_multiple_of(4)).sum();
        let mut before = self.raw[..HEADER_BYTES + length].to_vec();
        set_length(&mut before, length + INTEGRITY_BYTES);
        hmac_of(&key, &before).verify_slice(signature).is_ok()
    }
}

/// Reads the total length of a message from its header.
///
/// `None` if the header is not STUN: the first two bits are zero, the cookie is in place, and the
/// length is a multiple of four (§5).
pub(super) fn message_bytes(header: &[u8]) -> Option<usize> {
    let (kind, length) = (header.first_chunk::<2>()?, header.get(2..4)?);
    let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
    let is_stun = kind[0] & 0xC0 == 0
        && length.is_multiple_of(4)
        && header.get(4..8)? == MAGIC_COOKIE.to_be_bytes();
    is_stun.then_some(HEADER_BYTES + length)
}

/// Derives the long-term key that signs messages (§9.2.2).
pub(super) fn long_term_key(username: &str, realm: &[u8], password: &str) -> [u8; 16] {
    let text = [username.as_bytes(), b":", realm, b":", password.as_bytes()].concat();
    Md5::digest(text).into()
}

fn hmac_of(key: &[u8], bytes: &[u8]) -> Hmac<Sha1> {
    let mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.chain_update(bytes)
}

fn push_attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).expect("attributes are short");
    bytes.extend(kind.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn set_length(bytes: &mut [u8], length: usize) {
    let length = u16::try_from(length).expect("messages are short");
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}
