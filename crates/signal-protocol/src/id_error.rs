//! Why a text is not what it was meant to be.

/// Why a text is not the identifier it was meant to be.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing there, or more than fits.
    #[error("{what} has {length} characters; it must have {expected}")]
    Length {
        /// What was to be parsed.
        what: &'static str,
        /// How many characters there were.
        length: usize,
        /// How many there may be.
        expected: &'static str,
    },
    /// A character outside the alphabet.
    #[error("{what} has {character:?} at byte {at}; only {alphabet} may occur")]
    Character {
        /// What was to be parsed.
        what: &'static str,
        /// The first offending character.
        character: char,
        at: usize,
        alphabet: &'static str,
    },
    /// A text with fewer or more bytes than fit.
    #[error("{what} has {bytes} bytes; it must have 1 to {max}")]
    Bytes {
        /// What was to be parsed.
        what: &'static str,
        /// How many bytes there were.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// An encoded text that no encoder writes.
    #[error("{what} is not percent-encoded as it is stored")]
    Encoding {
        /// What was to be decoded.
        what: &'static str,
    },
    /// A peer or node id without its prefix.
    #[error("{what} must begin with {prefix:?}")]
    Prefix {
        /// What was to be parsed.
        what: &'static str,
        /// How it must begin.
        prefix: &'static str,
    },
}
