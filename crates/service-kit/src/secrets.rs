//! Lists of secret keys: never printed, reloaded when their file changes.
//!
//! The first key signs and all verify, so a key is rotated without rejecting anything valid: add
//! the new one below, move it to the top once every verifier has it, and remove the old one when
//! everything it signed has expired.
//!
//! Other programs read the same files: coturn gets its keys from the chart and from Compose, and
//! applications sign tokens with them. All follow the rule of [`Secrets::parse`];
//! `deploy/test/key-files.json` holds the examples that each of them is tested with.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use crate::watched_file::WatchedFile;

/// Shortest key accepted; RFC 7518 §3.2 requires this length for HS256.
pub const MIN_KEY_BYTES: usize = 32;

/// One or more keys; the first signs, all verify.
pub struct Secrets(Vec<Box<[u8]>>);

impl Secrets {
    /// Parses keys, one per line.
    ///
    /// Spaces, tabs and carriage returns around a line are removed. Blank lines and lines that
    /// begin with `#` are skipped; every other line must be a valid key.
    ///
    /// # Errors
    /// When there is no key, or one is shorter than [`MIN_KEY_BYTES`], contains anything but
    /// printable ASCII, or begins with a quotation mark.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let lines = text.split('\n').map(|line| line.trim_matches([' ', '\t', '\r']));
        let keys: Vec<_> =
            lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        if keys.is_empty() {
            return Err(SecretError::Empty);
        }
        for (at, key) in keys.iter().enumerate() {
            check_key(at + 1, key)?;
        }
        Ok(Self(keys.into_iter().map(|key| key.as_bytes().into()).collect()))
    }

    /// The key that signs.
    #[must_use]
    pub fn signing(&self) -> &[u8] {
        &self.0[0]
    }

    /// Every key that verifies, the signing one first.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|key| &**key)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} keys, redacted)", self.0.len())
    }
}

/// Checks that coturn, a shell and an application all read the line as the same key.
fn check_key(number: usize, key: &str) -> Result<(), SecretError> {
    if !key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(SecretError::Unprintable { number });
    }
    // coturn strips quotation marks around a value.
    if key.starts_with('"') {
        return Err(SecretError::Quoted { number });
    }
    if key.len() < MIN_KEY_BYTES {
        return Err(SecretError::Short { number, bytes: key.len() });
    }
    Ok(())
}

/// Reasons why a text is no list of keys. The texts never quote it.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Only white space, blank lines and comments.
    #[error("there is no key in it")]
    Empty,
    /// A character that some programs read differently, such as a non-breaking space.
    #[error(
        "key {number} holds a character that is not printable ASCII: generate a new one, such as \
         with openssl rand -hex 32"
    )]
    Unprintable {
        /// Index of the key, from 1.
        number: usize,
    },
    /// coturn would strip the quotation mark and use another key.
    #[error("key {number} begins with a quotation mark: write keys without quotation marks")]
    Quoted {
        /// Index of the key, from 1.
        number: usize,
    },
    /// A key is short enough to be guessed.
    #[error("key {number} has {bytes} bytes, {MIN_KEY_BYTES} or more are needed")]
    Short {
        /// Index of the key, from 1.
        number: usize,
        bytes: usize,
    },
}

/// A source of keys: fixed, a watched file, or updated by code.
#[derive(Clone, Debug)]
pub struct SecretSource(Source);

#[derive(Clone, Debug)]
enum Source {
    Fixed(Arc<Secrets>),
    File(Arc<WatchedFile<Secrets>>),
    Updatable(Arc<RwLock<Arc<Secrets>>>),
}

/// Replaces the keys of a [`SecretSource`].
#[derive(Debug)]
pub struct SecretUpdater(Arc<RwLock<Arc<Secrets>>>);

impl SecretUpdater {
    /// Replaces the keys; all clones of the source see them at once.
    pub fn set(&self, secrets: Secrets) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(secrets);
    }
}

impl SecretSource {
    /// Wraps keys that do not change.
    #[must_use]
    pub fn fixed(secrets: Secrets) -> Self {
        Self(Source::Fixed(Arc::new(secrets)))
    }

    /// Opens a file of keys, see [`Secrets::parse`].
    ///
    /// # Errors
    /// When the file cannot be read or contains no usable keys; the text contains the path.
    pub fn file(path: &Path) -> Result<Self, String> {
        let parse = |text: &str| Secrets::parse(text).map_err(|error| error.to_string());
        WatchedFile::open(path, parse).map(|file| Self(Source::File(Arc::new(file))))
    }

    /// Creates a source with initial keys and the handle that replaces them.
    #[must_use]
    pub fn updatable(secrets: Secrets) -> (SecretUpdater, Self) {
        let shared = Arc::new(RwLock::new(Arc::new(secrets)));
        (SecretUpdater(Arc::clone(&shared)), Self(Source::Updatable(shared)))
    }

    /// Returns the current keys.
    ///
    /// A file is checked at most once a second; unusable new content keeps the old keys.
    #[must_use]
    pub fn current(&self) -> Arc<Secrets> {
        match &self.0 {
            Source::Fixed(secrets) => Arc::clone(secrets),
            Source::File(file) => file.current(),
            Source::Updatable(shared) => {
                Arc::clone(&shared.read().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

/// A text that may contain a password, such as a Redis URL.
#[derive(Clone)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a text; `Debug` does not print it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text. The name is conspicuous on purpose: every use should be noticed in review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "first-key-of-thirty-two-bytes-or-more";
    const SECOND: &str = "second-key-of-thirty-two-bytes-or-more";

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let secrets = Secrets::parse(&format!("\n {FIRST} \r\n\n{SECOND}\n")).unwrap();
        assert_eq!(secrets.signing(), FIRST.as_bytes());
        assert_eq!(secrets.all().collect::<Vec<_>>(), [FIRST.as_bytes(), SECOND.as_bytes()]);
    }

    #[test]
    fn a_file_of_keys_is_read_by_the_rule_that_all_programs_share() {
        #[derive(serde::Deserialize)]
        struct Example {
            what: String,
            text: String,
            keys: Vec<String>,
        }
        let examples = include_str!("../../../deploy/test/key-files.json");
        for Example { what, text, keys } in serde_json::from_str::<Vec<Example>>(examples).unwrap()
        {
            let found = Secrets::parse(&text).map_or_else(
                |_| Vec::new(),
                |found| found.all().map(|key| String::from_utf8(key.to_vec()).unwrap()).collect(),
            );
            assert_eq!(found, keys, "{what}");
        }
    }

    #[test]
    fn a_key_that_programs_would_read_differently_is_refused_by_number() {
        let error = |line: &str| Secrets::parse(&format!("{FIRST}\n{line}")).unwrap_err();
        let unprintable = SecretError::Unprintable { number: 2 };
        assert_eq!(error(&format!("\u{feff}{SECOND}")), unprintable);
        assert_eq!(error(&format!("{SECOND}\r{SECOND}")), unprintable);
        assert_eq!(error(&format!("\"{SECOND}\"")), SecretError::Quoted { number: 2 });
    }

    #[test]
    fn white_space_is_not_a_key() {
        assert_eq!(Secrets::parse(" \n\t\n").unwrap_err(), SecretError::Empty);
    }

    #[test]
    fn a_short_key_is_refused_by_number_and_not_quoted() {
        let error = Secrets::parse(&format!("{FIRST}\nhunter2")).unwrap_err();
        assert_eq!(error, SecretError::Short { number: 2, bytes: 7 });
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn nothing_secret_shows_in_debug() {
        let secrets = Secrets::parse(FIRST).unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets(1 keys, redacted)");
        let source = SecretSource::fixed(secrets);
        assert!(!format!("{source:?}").contains("first-key"));
        assert!(!format!("{:?}", SecretText::new("redis://:hunter2@h")).contains("hunter2"));
    }

    #[test]
    fn replaced_keys_are_in_force_at_once() {
        let (updater, source) = SecretSource::updatable(Secrets::parse(FIRST).unwrap());
        assert_eq!(source.current().signing(), FIRST.as_bytes());
        updater.set(Secrets::parse(SECOND).unwrap());
        assert_eq!(source.clone().current().signing(), SECOND.as_bytes());
    }

    #[test]
    fn a_file_of_keys_is_opened_and_an_empty_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(&path, "\n").unwrap();
        assert!(SecretSource::file(&path).unwrap_err().contains("there is no key in it"));
        std::fs::write(&path, SECOND).unwrap();
        let source = SecretSource::file(&path).unwrap();
        assert_eq!(source.current().signing(), SECOND.as_bytes());
    }
}
