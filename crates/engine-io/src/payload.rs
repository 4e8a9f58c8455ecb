//! Packets in the body of a request or an answer of polling.
//!
//! Revision 4 joins them by the byte 0x1e. Revision 3 writes the length of each before it, in UTF-16 code units, since
//! that is the length of a text in the language of its authors: an emoji counts two.

use crate::request::Revision;

/// Separates the packets of revision 4.
const SEPARATOR: char = '\u{1e}';

/// A payload that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// A length is missing or wrong, or cuts a character.
    Length,
    /// There is no packet in it.
    Empty,
}

/// Writes packets as one body.
#[must_use]
pub fn encode(revision: Revision, packets: &[String]) -> String {
    match revision {
        Revision::V4 => packets.join("\u{1e}"),
        Revision::V3 => packets
            .iter()
            .flat_map(|packet| {
                let length = packet.encode_utf16().count().to_string();
                [length, ":".to_owned(), packet.clone()]
            })
            .collect(),
    }
}

/// Reads the packets of a body, as they are.
///
/// # Errors
/// [`PayloadError`] if the body is not one of this revision.
pub fn decode(revision: Revision, body: &str) -> Result<Vec<&str>, PayloadError> {
    if body.is_empty() {
        return Err(PayloadError::Empty);
    }
    match revision {
        Revision::V4 => Ok(body.split(SEPARATOR).collect()),
        Revision::V3 => with_lengths(body),
    }
}

fn with_lengths(body: &str) -> Result<Vec<&str>, PayloadError> {
    let (mut packets, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let (length, behind) = rest.split_once(':').ok_or(PayloadError::Length)?;
        if !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PayloadError::Length);
        }
        let length = length.parse().map_err(|_| PayloadError::Length)?;
        let end = utf16_offset(behind, length).ok_or(PayloadError::Length)?;
        let (packet, after) = behind.split_at(end);
        packets.push(packet);
        rest = after;
    }
    Ok(packets)
}

/// Returns the byte at which so many UTF-16 code units end; `None`: there are fewer, or a character lies across.
fn utf16_offset(text: &str, units: usize) -> Option<usize> {
    let mut left = units;
    for (at, character) in text.char_indices() {
        if left == 0 {
            return Some(at);
        }
        left = left.checked_sub(character.len_utf16())?;
    }
    (left == 0).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn revision_4_joins_packets_and_revision_3_counts_utf_16_units() {
        let packets = ["4é".to_owned(), "4😀!".to_owned(), "2".to_owned()];
        assert_eq!(encode(Revision::V4, &packets), "4é\u{1e}4😀!\u{1e}2");
        // As engine.io-parser 2.2 writes them.
        assert_eq!(encode(Revision::V3, &packets), "2:4é4:4😀!1:2");
        assert_eq!(decode(Revision::V3, "2:4é4:4😀!1:2").unwrap(), packets);
        assert_eq!(decode(Revision::V4, "4é\u{1e}4😀!\u{1e}2").unwrap(), packets);
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        for body in [
            "4hello",
            ":4",
            "x:4",
            "9:4",
            "+1:4",
            "3:😀",
            "1:😀",
            "1:42:4",
            "99999999999999999999:4",
        ] {
            assert!(decode(Revision::V3, body).is_err(), "{body:?}");
        }
        assert_eq!(decode(Revision::V4, ""), Err(PayloadError::Empty));
        assert_eq!(decode(Revision::V3, ""), Err(PayloadError::Empty));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(packets in prop::collection::vec("[0-6][^\u{1e}]{0,12}", 1..6)) {
            for revision in [Revision::V3, Revision::V4] {
                let body = encode(revision, &packets);
                prop_assert_eq!(decode(revision, &body).unwrap(), packets.clone());
            }
        }

        #[test]
        fn no_body_makes_the_reader_panic(body in "[0-9:é😀\u{1e}x]{0,20}") {
            let _ = decode(Revision::V3, &body);
            let _ = decode(Revision::V4, &body);
        }
    }
}
