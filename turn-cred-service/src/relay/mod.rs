//! A TURN client (RFC 8656) over UDP, TCP and TLS, with the part of the protocol that probes and
//! the doctor need.
//!
//! [`TurnClient::connect`] connects to a URL; each further method is one request and its response.
//! No step takes longer than the timeout of [`ConnectOptions`], and a success counts only with the
//! relay's signature. Dropping the client does not release its allocation, which then lives for up
//! to ten minutes: call `refresh(Duration::ZERO)`.

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

/// Runs the parser over arbitrary bytes and returns whether the message is signed; public for
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

/// Options for connecting to a relay.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Timeout of each step: resolving the name, connecting, one response.
    pub step_timeout: Duration,
    /// Certificate authorities for TLS.
    pub trust: TrustStore,
}

/// Reasons why a relay could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The name does not resolve.
    #[error("the name cannot be resolved: {0}")]
    Resolve(#[source] io::Error),
    /// The URL requires DTLS.
    #[error("DTLS (turns with transport=udp) is not supported")]
    DtlsUnsupported,
    /// The certificate was not accepted.
    #[error("TLS failed: {0}")]
    Tls(#[source] rustls::Error),
    /// An error response, with a code of RFC 8489 §14.8 or RFC 8656 §19.
    #[error("the relay answered with error {0}")]
    ErrorResponse(u16),
    /// The relay answered an unauthenticated request with a success.
    #[error("the relay requires no credential: anybody can use it")]
    NoAuthentication,
    /// No response within the timeout.
    #[error("the relay did not answer")]
    TimedOut,
    /// The response is malformed, or its signature is missing or wrong.
    #[error("the response is malformed or not signed by the relay")]
    Malformed,
    /// The socket failed.
    #[error(transparent)]
    Socket(#[from] io::Error),
}

impl RelayError {
    /// The code of an error response.
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
