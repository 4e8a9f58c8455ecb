//! Random bytes from the operating system.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Returns the secret of a member: 128 bits as 22 characters of base64url.
pub(crate) fn key() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}

/// Returns a seed for pauses.
pub(crate) fn seed() -> u64 {
    u64::from_le_bytes(bytes())
}

fn bytes<const N: usize>() -> [u8; N] {
    let mut drawn = [0; N];
    getrandom::fill(&mut drawn).expect("the operating system gives randomness");
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_form_of_the_protocol_and_differ() {
        let (one, other) = (key(), key());
        assert_ne!(one, other);
        assert!(one.parse::<signal_protocol::PeerKey>().is_ok());
    }
}
