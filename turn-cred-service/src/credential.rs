//! The credential algorithm shared with the relays (draft-uberti-behave-turn-rest-00 §2.2).
//!
//! ```text
//! username   = <expiry in unix seconds> ":" <pseudonym of the subject>
//! credential = base64(HMAC-SHA1(secret, username))
//! ```
//!
//! The expiry is the time of issue plus the TTL. A relay compares it with its own clock, so a relay
//! whose clock runs ahead shortens the TTL by that much; with a TTL of 60 s or more and a refresh
//! at half of it, 30 s of skew cost nothing. SHA-1 is what relays implement; its collisions do not
//! affect HMAC.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac as _};
use service_kit::rate::ip_key;
use sha1::Sha1;
use sha2::Sha256;

pub use signal_protocol::Subject;

/// Domain separation: the same secret may key other HMACs.
const PSEUDONYM_DOMAIN: &[u8] = b"turn-cred-service pseudonym v1\0";

/// Domain of networks, so that no subject has the pseudonym of a network.
const NETWORK_DOMAIN: &[u8] = b"turn-cred-service network v1\0";

/// 128 bits of the HMAC: a collision between two subjects is out of reach.
const PSEUDONYM_BYTES: usize = 16;

/// Whom a credential is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CredentialOwner {
    /// The holder of a token.
    Subject(Subject),
    /// Everybody without a token behind one address, IPv6 by /64.
    Network(IpAddr),
}

/// The name of a user at the relays: 1–128 bytes of `A–Z a–z 0–9 . _ ~ -`.
///
/// A colon is excluded because some relays split usernames at every colon and would count all users
/// of a tenant against one quota.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pseudonym(String);

/// A text that is no [`Pseudonym`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pseudonym is 1 to 128 letters, digits, dots, underscores, tildes or hyphens")]
pub struct InvalidPseudonym;

impl FromStr for Pseudonym {
    type Err = InvalidPseudonym;

    fn from_str(text: &str) -> Result<Self, InvalidPseudonym> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.to_owned())).ok_or(InvalidPseudonym)
    }
}

impl Pseudonym {
    /// Computes the stable keyed pseudonym of a subject: 32 hex digits.
    ///
    /// TURN usernames travel in clear text, so they must not identify a person. They stay the same
    /// from credential to credential because a relay applies its user quota to the name.
    #[must_use]
    pub fn of(subject: &Subject, secret: &[u8]) -> Self {
        Self::keyed(secret, PSEUDONYM_DOMAIN, subject.as_str())
    }

    /// Computes the pseudonym that all anonymous clients of a network share.
    ///
    /// With a name for each connection, a client without a token would escape the user quota of a relay by another
    /// connection.
    #[must_use]
    pub fn of_network(network: IpAddr, secret: &[u8]) -> Self {
        Self::keyed(secret, NETWORK_DOMAIN, &ip_key(network).to_string())
    }

    fn keyed(secret: &[u8], domain: &[u8], text: &str) -> Self {
        let mut mac = new_hmac::<Hmac<Sha256>>(secret);
        mac.update(domain);
        mac.update(text.as_bytes());
        let hidden = mac.finalize().into_bytes();
        Self(hidden[..PSEUDONYM_BYTES].iter().flat_map(|byte| hex(*byte)).collect())
    }
}

impl Pseudonym {
    /// The pseudonym as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A username, and the password that is valid until the expiry in the username.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// `<unix seconds>:<pseudonym>`.
    pub username: String,
    /// Called `credential` in `RTCIceServer`: 28 characters of padded base64.
    pub password: String,
}

impl Credential {
    /// Issues a credential that ends at `expiry`, in Unix seconds.
    #[must_use]
    pub fn issue(secret: &[u8], user: &Pseudonym, expiry: u64) -> Self {
        let username = format!("{expiry}:{user}");
        let password = password(secret, &username);
        Self { username, password }
    }
}

impl Credential {
    /// Returns the part of the username after the expiry.
    #[must_use]
    pub fn pseudonym(&self) -> &str {
        self.username.split_once(':').map_or("", |(_, pseudonym)| pseudonym)
    }
}

/// Prints the username only: the password is a secret.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Computes the password of any username.
#[must_use]
pub fn password(secret: &[u8], username: &str) -> String {
    let mut mac = new_hmac::<Hmac<Sha1>>(secret);
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Returns the expiry contained in a username, in Unix seconds.
#[must_use]
pub fn expiry(username: &str) -> Option<u64> {
    username.split(':').next()?.parse().ok()
}

fn new_hmac<M: KeyInit>(secret: &[u8]) -> M {
    M::new_from_slice(secret).expect("HMAC takes a key of any length")
}

fn hex(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"north-star-secret-of-thirty-two-bytes";

    #[test]
    fn passwords_are_those_of_other_implementations() {
        // pion/turn, internal/auth and lt_cred_test.go.
        assert_eq!(password(b"foobar", "1599491771"), "Tpz/nKkyvX/vMSLKvL4sbtBt8Vs=");
        // printf 1700000600:ana | openssl dgst -sha1 -hmac "$SECRET" -binary | base64
        assert_eq!(password(SECRET, "1700000600:ana"), "o4ZbZu7RFguL89DxswsLdNflhYk=");
    }

    #[test]
    fn a_username_names_its_end_and_its_user() {
        let credential = Credential::issue(SECRET, &"ana".parse().unwrap(), 1_700_000_600);
        assert_eq!(credential.username, "1700000600:ana");
        assert_eq!(credential.password, "o4ZbZu7RFguL89DxswsLdNflhYk=");
        assert_eq!(expiry(&credential.username), Some(1_700_000_600));
        assert_eq!(expiry("ana:1700000600"), None);
    }

    #[test]
    fn a_pseudonym_with_a_colon_or_a_space_is_refused() {
        for text in ["", "a:b", "a b", "ä", "a\n", &"x".repeat(129)] {
            assert_eq!(text.parse::<Pseudonym>(), Err(InvalidPseudonym), "{text:?}");
        }
        for text in ["a", "A-Z.a_z~0", &"x".repeat(128)] {
            assert!(text.parse::<Pseudonym>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_pseudonym_is_stable_keyed_and_of_any_subject() {
        let of = |text: &str, key: &[u8]| Pseudonym::of(&Subject::new(text).unwrap(), key);
        let hidden = of("ana", SECRET);
        // printf 'turn-cred-service pseudonym v1\0ana' | openssl dgst -sha256 -hmac "$SECRET"
        assert_eq!(hidden.to_string(), "ccbcebf2f3afd8b6361f930161c0c717");
        assert_eq!(hidden, of("ana", SECRET));
        assert_ne!(hidden, of("ana", b"another secret"));
        assert_ne!(hidden, of("bob", SECRET));
        // printf 'turn-cred-service pseudonym v1\0auth0|7 é' | openssl dgst -sha256 -hmac "$SECRET"
        assert_eq!(of("auth0|7 é", SECRET).to_string(), "f18da8e74a11610ad8e1c517bdaa0196");
        assert_eq!(hidden.to_string().parse(), Ok(hidden.clone()));
    }

    #[test]
    fn a_network_has_a_pseudonym_that_says_nothing_and_is_no_subject_s() {
        let of = |text: &str, key: &[u8]| Pseudonym::of_network(text.parse().unwrap(), key);
        let hidden = of("192.0.2.7", SECRET);
        // printf 'turn-cred-service network v1\0192.0.2.7' | openssl dgst -sha256 -hmac "$SECRET"
        assert_eq!(hidden.to_string(), "349b03e41e4175a1917380d6575f3aa5");
        assert_ne!(hidden, of("192.0.2.8", SECRET));
        assert_ne!(hidden, of("192.0.2.7", b"another secret"));
        assert_ne!(hidden, Pseudonym::of(&"192.0.2.7".parse().unwrap(), SECRET));
        assert_eq!(of("2001:db8::1", SECRET), of("2001:db8::2", SECRET));
        assert_ne!(of("2001:db8::1", SECRET), of("2001:db8:0:1::1", SECRET));
    }

    #[test]
    fn debug_shows_no_password() {
        let credential = Credential::issue(SECRET, &"ana".parse().unwrap(), 1);
        assert!(!format!("{credential:?}").contains(&credential.password));
    }
}
