//! The credential algorithm that relays share (draft-uberti-behave-turn-rest-00 §2.2).
//!
//! ```text
//! username   = <unix seconds of its end> ":" <subject>
//! credential = base64(HMAC-SHA1(secret, username))
//! ```
//!
//! The end is exactly the time of issue plus the TTL. A relay compares it with its own clock, so
//! a relay whose clock runs ahead takes that much off the TTL; with a TTL of 60 s or more and
//! a refresh at half of it, 30 s of skew cost nothing. SHA-1 is what relays implement, and HMAC
//! is not affected by its collisions.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;
use sha2::Sha256;

/// Keeps pseudonyms apart from anything else that is ever keyed with the same secret.
const PSEUDONYM_DOMAIN: &[u8] = b"turn-cred-service pseudonym v1\0";

/// How much of the HMAC a pseudonym keeps: enough that no two subjects ever share one.
const PSEUDONYM_BYTES: usize = 16;

/// Whom a credential names: 1–128 bytes of `A–Z a–z 0–9 . _ ~ -`.
///
/// A colon is not among them because some relays split at every colon and would count all users
/// of a tenant as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(String);

/// What is not a [`Subject`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subject is 1 to 128 letters, digits, dots, underscores, tildes or hyphens")]
pub struct InvalidSubject;

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.to_owned())).ok_or(InvalidSubject)
    }
}

impl Subject {
    /// Hides a subject behind a stable keyed pseudonym of 32 hex digits.
    ///
    /// TURN usernames travel in clear, so they must not say who somebody is; they stay the
    /// same from credential to credential so that the quotas of a relay work.
    #[must_use]
    pub fn pseudonym(&self, secret: &[u8]) -> Self {
        let mut mac = new_hmac::<Hmac<Sha256>>(secret);
        mac.update(PSEUDONYM_DOMAIN);
        mac.update(self.0.as_bytes());
        let hidden = mac.finalize().into_bytes();
        Self(hidden[..PSEUDONYM_BYTES].iter().flat_map(|byte| hex(*byte)).collect())
    }
}

impl Subject {
    /// The subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A username and the password that goes with it until the username's end.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// `<unix seconds>:<subject>`.
    pub username: String,
    /// What `RTCIceServer` calls the credential: 28 letters of padded base64.
    pub password: String,
}

impl Credential {
    /// Issues a credential that ends at `expiry`, in Unix seconds.
    #[must_use]
    pub fn issue(secret: &[u8], subject: &Subject, expiry: u64) -> Self {
        let username = format!("{expiry}:{subject}");
        let password = password(secret, &username);
        Self { username, password }
    }
}

impl Credential {
    /// Whom the username names.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.username.split_once(':').map_or("", |(_, subject)| subject)
    }
}

/// Shows the username only.
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

/// Reads the end a username names, in Unix seconds.
#[must_use]
pub fn expiry(username: &str) -> Option<u64> {
    username.split(':').next()?.parse().ok()
}

fn new_hmac<M: KeyInit>(secret: &[u8]) -> M {
    M::new_from_slice(secret).expect("HMAC takes a key of any length")
}

/// Writes a byte as two lower-case hex digits.
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
    fn a_username_names_its_end_and_its_subject() {
        let subject: Subject = "ana".parse().unwrap();
        let credential = Credential::issue(SECRET, &subject, 1_700_000_600);
        assert_eq!(credential.username, "1700000600:ana");
        assert_eq!(credential.password, "o4ZbZu7RFguL89DxswsLdNflhYk=");
        assert_eq!(expiry(&credential.username), Some(1_700_000_600));
        assert_eq!(expiry("ana:1700000600"), None);
    }

    #[test]
    fn a_subject_with_a_colon_or_a_space_is_refused() {
        for text in ["", "a:b", "a b", "ä", "a\n", &"x".repeat(129)] {
            assert_eq!(text.parse::<Subject>(), Err(InvalidSubject), "{text:?}");
        }
        for text in ["a", "A-Z.a_z~0", &"x".repeat(128)] {
            assert!(text.parse::<Subject>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_pseudonym_is_stable_keyed_and_a_subject_itself() {
        let ana: Subject = "ana".parse().unwrap();
        let hidden = ana.pseudonym(SECRET);
        // printf 'turn-cred-service pseudonym v1\0ana' | openssl dgst -sha256 -hmac "$SECRET"
        assert_eq!(hidden.to_string(), "ccbcebf2f3afd8b6361f930161c0c717");
        assert_eq!(hidden, ana.pseudonym(SECRET));
        assert_ne!(hidden, ana.pseudonym(b"another secret"));
        assert_ne!(hidden, "bob".parse::<Subject>().unwrap().pseudonym(SECRET));
        assert_eq!(hidden.to_string().parse(), Ok(hidden.clone()));
    }

    #[test]
    fn debug_shows_no_password() {
        let credential = Credential::issue(SECRET, &"ana".parse().unwrap(), 1);
        assert!(!format!("{credential:?}").contains(&credential.password));
    }
}
