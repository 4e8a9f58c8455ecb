//! What a client without a token of its own shows to a node that has no keys.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// A secret that a node without keys makes at its start and prints with its address.
///
/// Nothing in a request tells a client on this machine from one behind a proxy on this machine: a proxy may write any
/// `Host` and add no header. A person who can read what the node prints is on this machine.
pub struct StartupToken(String);

impl StartupToken {
    /// Makes one of 128 random bits. A JWT has dots, and this has none.
    #[must_use]
    pub fn generate() -> Self {
        Self(service_kit::random::token())
    }

    /// Tells whether a client has shown it, in constant time.
    #[must_use]
    pub fn matches(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }

    /// Returns it, to be printed or sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StartupToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StartupToken(…)")
    }
}
