//! Who a client is: its protocol, the secret by which it resumes, and the id that it is known by.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use signal_protocol::PeerKey;

/// The protocol of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Over Engine.IO 3, by whose session the client is known.
    Four {
        /// The id of the session.
        sid: String,
    },
    /// Over Engine.IO 4.
    Five,
}

/// A client.
#[derive(Clone, Debug)]
pub(super) struct ClientId {
    key: PeerKey,
    /// The text of the key.
    secret: Secret,
    sid: String,
    /// Whether the client can resume: it knows the secret.
    resumes: bool,
}

/// A text that is not for logs.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl ClientId {
    /// The client of this secret: one of protocol 4 is known by the id of its engine session and cannot resume. `None`: the secret is no
    /// key.
    pub(super) fn new(protocol: &Protocol, secret: &str) -> Option<Self> {
        let client = Self::with_pid(secret)?;
        Some(match protocol {
            Protocol::Four { sid } => Self { sid: sid.clone(), resumes: false, ..client },
            Protocol::Five => client,
        })
    }

    /// The client whose secret this is; `None`: the text is no key. Every node finds the same id for it.
    pub(super) fn with_pid(pid: &str) -> Option<Self> {
        let key: PeerKey = pid.parse().ok()?;
        let sid = key.peer().as_str().trim_start_matches("p_").to_owned();
        Some(Self { key, secret: Secret(pid.to_owned()), sid, resumes: true })
    }

    /// Draws another client out of the secret of this one, which nobody else can.
    pub(super) fn next(&self) -> Option<Self> {
        let digest = Sha256::new().chain_update("next ").chain_update(&self.secret.0).finalize();
        Self::with_pid(&URL_SAFE_NO_PAD.encode(&digest[..16]))
    }

    pub(super) fn key(&self) -> &PeerKey {
        &self.key
    }

    /// Returns the secret for a client that can resume.
    pub(super) fn pid(&self) -> Option<&str> {
        self.resumes.then_some(&*self.secret.0)
    }

    /// Returns the secret for another node.
    pub(super) fn secret(&self) -> &str {
        &self.secret.0
    }

    pub(super) fn sid(&self) -> &str {
        &self.sid
    }

    pub(super) fn resumes(&self) -> bool {
        self.resumes
    }
}
