//! The holder of a token, and the form in which its text travels.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::id_error::IdError;
use crate::limits;

/// Names the holder of a token (RFC 7519 §4.1.2): any text of 1 to [`limits::SUBJECT_BYTES`] bytes.
///
/// JSON carries the text itself. `Display` and `FromStr` are its [encoded](encode) form, which a Redis key, a line
/// of words, a log and a URL carry unquoted; a plain name is its own encoded form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Subject(Arc<str>);

/// The bytes that [`encode`] leaves: the alphabet of a room name. `~` is not among them, since it stands for "none"
/// in a line of words.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// Percent-encodes everything but `A–Z a–z 0–9 . _ -`.
#[must_use]
pub fn encode(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, PLAIN)
}

/// Reverses [`encode`]; `None` for what it does not write, so that no text has two encoded forms.
#[must_use]
pub fn decode(encoded: &str) -> Option<String> {
    let text = percent_decode_str(encoded).decode_utf8().ok()?.into_owned();
    let is_canonical = encode(&text).to_string() == encoded;
    is_canonical.then_some(text)
}

impl Subject {
    /// Checks the length of a text.
    ///
    /// # Errors
    /// [`IdError::Bytes`] if it is empty or too long.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let (what, bytes, max) = ("subject", text.len(), limits::SUBJECT_BYTES);
        if text.is_empty() || bytes > max {
            return Err(IdError::Bytes { what, bytes, max });
        }
        Ok(Self(text.into()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Subject {
    /// Reads the text itself, as JSON carries it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(D::Error::custom)
    }
}

impl FromStr for Subject {
    type Err = IdError;

    fn from_str(encoded: &str) -> Result<Self, IdError> {
        Self::new(&decode(encoded).ok_or(IdError::Encoding { what: "subject" })?)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_any_text_and_has_one_encoded_form_of_plain_characters() {
        for (text, encoded) in [
            ("ana", "ana"),
            ("auth0|5f7c", "auth0%7C5f7c"),
            ("@user:example.org", "%40user%3Aexample.org"),
            ("a b\n\"\\~%", "a%20b%0A%22%5C%7E%25"),
            ("Jörg", "J%C3%B6rg"),
        ] {
            let subject = Subject::new(text).unwrap();
            assert_eq!(subject.to_string(), encoded);
            assert_eq!(encoded.parse(), Ok(subject.clone()));
            assert_eq!(serde_json::to_value(&subject).unwrap(), text);
        }
        for never_written in ["%61na", "auth0|5f7c", "%7c", "%", "%FF", "~"] {
            assert!(never_written.parse::<Subject>().is_err(), "{never_written}");
        }
        assert!(Subject::new("").is_err() && Subject::new(&"é".repeat(510)).is_ok());
        assert_eq!(
            Subject::new(&"x".repeat(1021)).unwrap_err().to_string(),
            "subject has 1021 bytes; it must have 1 to 1020"
        );
    }
}
