//! Random bytes from the operating system.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Returns `N` unpredictable bytes.
///
/// # Panics
/// When the operating system returns an error: no secret can be generated then.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut drawn = [0; N];
    getrandom::fill(&mut drawn).expect("the operating system gives randomness");
    drawn
}

/// Returns an unguessable token: 128 bits as 22 characters of base64url without padding.
#[must_use]
pub fn token() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tokens_differ_and_need_no_quoting() {
        let (one, other) = (token(), token());
        assert_ne!(one, other);
        assert_eq!(one.len(), 22);
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
}
