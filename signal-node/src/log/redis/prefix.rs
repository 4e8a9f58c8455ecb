//! What tells the keys and channels of deployments apart that share a Redis.

use std::fmt;
use std::str::FromStr;

/// The longest prefix, in characters.
const CHARS: usize = 64;

/// Stands before every key and channel; empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisPrefix(String);

impl RedisPrefix {
    /// Returns it as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPrefix;

impl fmt::Display for NoPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Braces would move the rooms of a cluster into one slot, and the others are patterns in the rules of a user.
        write!(f, "is no prefix: write up to {CHARS} of A–Z a–z 0–9 . _ - :, such as production:")
    }
}

impl std::error::Error for NoPrefix {}

impl FromStr for RedisPrefix {
    type Err = NoPrefix;

    fn from_str(text: &str) -> Result<Self, NoPrefix> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
        let fits = text.len() <= CHARS && text.bytes().all(plain);
        if fits { Ok(Self(text.to_owned())) } else { Err(NoPrefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_and_patterns_are_no_part_of_a_prefix() {
        for text in ["", "production:", "eu-1.staging_2:"] {
            assert_eq!(text.parse::<RedisPrefix>().unwrap().as_str(), text);
        }
        for text in ["{eu}:", "eu*", "eu ", "é", &"x".repeat(65)] {
            assert_eq!(text.parse::<RedisPrefix>(), Err(NoPrefix), "{text:?}");
        }
    }
}
