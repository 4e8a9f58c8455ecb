//! A TURN client (RFC 8656) over UDP, TCP and TLS: enough to tell what a relay lets a credential
//! do.
//!
//! [`TurnClient::connect`] follows an ICE server URL to a relay, and each method after it is one
//! request and its answer. Nothing is waited for longer than the patience of [`ConnectOptions`], and a
//! success counts only with the signature of the relay. An allocation lives on after its client,
//! for up to ten minutes, unless `refresh(Duration::ZERO)` gave it back.

mod client;
mod clock_skew;
mod console;
mod endpoint;
mod stun;
mod transport;
mod trust_store;

use std::io;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio_rustls::rustls;

pub use client::{Family, TurnClient};
pub use clock_skew::{ClockSkew, SkewSearch, SkewStep};
pub use console::{ConsoleError, ConsoleSettings, end_allocations};
pub use endpoint::{Endpoint, Protocol};
pub use trust_store::{TrustStore, TrustStoreError};

/// Reads what a relay may have sent with everything that reads it, and tells whether it is signed; public for
/// `fuzz/`.
#[doc(hidden)]
#[must_use]
pub fn read_message(bytes: &[u8]) -> Option<bool> {
    use stun::attribute::{XOR_MAPPED_ADDRESS, XOR_RELAYED_ADDRESS};
    let message = stun::Message::decode(bytes)?;
    let _ = (message.class(), message.error_code());
    let _ = (message.address(XOR_MAPPED_ADDRESS), message.address(XOR_RELAYED_ADDRESS));
    Some(message.is_signed([0x5A; 16]))
}

/// How a relay is approached.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long each step may take: finding the name, connecting, one answer.
    pub step_timeout: Duration,
    /// Which certificates are believed.
    pub trust: TrustStore,
}

/// Why the relay did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Its name leads to no address.
    #[error("the name cannot be resolved: {0}")]
    Resolve(#[source] io::Error),
    /// Its URL asks for what we do not speak.
    #[error("TLS for datagrams (turns with transport=udp) is not supported")]
    DtlsUnsupported,
    /// It did not prove its name.
    #[error("TLS failed: {0}")]
    Tls(#[source] rustls::Error),
    /// It said no, with a code of RFC 8489 §14.8 or RFC 8656 §19.
    #[error("the relay refused with {0}")]
    ErrorResponse(u16),
    /// It asked for no credential where it must.
    #[error("the relay admits anybody: it asks for no credential")]
    NoAuthentication,
    /// It said nothing in time.
    #[error("the relay did not answer")]
    TimedOut,
    /// It said something that makes no sense.
    #[error("the answer is malformed or not signed by the relay")]
    Malformed,
    /// The socket failed.
    #[error(transparent)]
    Socket(#[from] io::Error),
}

impl RelayError {
    /// The code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::ErrorResponse(code) => Some(*code),
            Self::Resolve(_)
            | Self::DtlsUnsupported
            | Self::Tls(_)
            | Self::NoAuthentication
            | Self::TimedOut
            | Self::Malformed
            | Self::Socket(_) => None,
        }
    }
}

impl From<Elapsed> for RelayError {
    fn from(_: Elapsed) -> Self {
        Self::TimedOut
    }
}
