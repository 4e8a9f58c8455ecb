//! Frames as clients make them.

use ws_codec::{Decoded, Decoder, Message, Violation};

pub(crate) const LIMIT: usize = 4_096;

/// Writes a client's frame: first byte, payload, masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..=125), _) => bytes.push(0x80 | short),
        (_, Ok(medium)) => {
            bytes.push(0xfe);
            bytes.extend(medium.to_be_bytes());
        }
        _ => {
            bytes.push(0xff);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Decodes a stream that arrives in these pieces; stops at a close frame, as a connection does.
pub(crate) fn decode(pieces: &[&[u8]]) -> (Vec<Message>, Option<Violation>) {
    let (messages, violation, _) = decode_up_to(pieces);
    (messages, violation)
}

/// Decodes like [`decode`], and returns what was not read as well: the frame at fault comes first in it.
pub(crate) fn decode_up_to(pieces: &[&[u8]]) -> (Vec<Message>, Option<Violation>, Vec<u8>) {
    let (mut decoder, mut rest, mut messages) = (Decoder::new(LIMIT), Vec::new(), Vec::new());
    for piece in pieces {
        rest.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut rest) {
                Ok(Decoded::Incomplete) => break,
                Ok(Decoded::Frame(used, message)) => {
                    rest.drain(..used);
                    let closes = matches!(message, Some(Message::Close(_)));
                    messages.extend(message);
                    if closes {
                        return (messages, None, rest);
                    }
                }
                Err(violation) => return (messages, Some(violation), rest),
            }
        }
    }
    (messages, None, rest)
}
