//! The same bytes, in the same pieces, to this codec and to tungstenite; for these tests and for `fuzz/`.
//!
//! They may differ in three points, and the comparison says where: what is wrong we tell as soon as it is certain,
//! by a head or a first fragment, where tungstenite waits for the rest of it; of two things that are wrong with one
//! frame they may name different ones; and a short control frame whose length takes more bytes than it needs
//! (RFC 6455 §5.2 forbids it) is one to tungstenite.

use std::io::{self, Read, Write};

use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use ws_codec::{Message, Violation};

use crate::support::{LIMIT, decode_up_to};

/// What a stream came to: its messages, and how it ended.
type Outcome = (Vec<Message>, Option<Violation>);

/// Bytes that arrive in pieces; what is written is thrown away.
struct Pieces(std::vec::IntoIter<Vec<u8>>, io::Cursor<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.1.read(buffer)? {
                0 => self.1 = io::Cursor::new(self.0.next().ok_or(io::ErrorKind::WouldBlock)?),
                count => return Ok(count),
            }
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(pieces: Vec<Vec<u8>>) -> Outcome {
    let config =
        WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
    let pieces = Pieces(pieces.into_iter(), io::Cursor::default());
    let mut socket = WebSocket::from_raw_socket(pieces, Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            // So it reports a close frame with a code that may not be sent.
            Ok(tungstenite::Message::Close(Some(closing)))
                if closing.reason == "Protocol violation" =>
            {
                return (messages, Some(Violation::Protocol));
            }
            Ok(message) => {
                let closes = message.is_close();
                messages.extend(translated(message));
                if closes {
                    return (messages, None);
                }
            }
            Err(Error::Io(_)) => return (messages, None),
            Err(Error::Utf8(_)) => return (messages, Some(Violation::Utf8)),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                return (messages, Some(Violation::TooLarge));
            }
            Err(_) => return (messages, Some(Violation::Protocol)),
        }
    }
}

fn translated(message: tungstenite::Message) -> Option<Message> {
    Some(match message {
        tungstenite::Message::Text(text) => Message::Text(text.as_str().to_owned()),
        tungstenite::Message::Binary(bytes) => Message::Binary(bytes.to_vec()),
        tungstenite::Message::Ping(bytes) => Message::Ping(bytes.to_vec().into()),
        tungstenite::Message::Pong(_) => Message::Pong,
        tungstenite::Message::Close(closing) => Message::Close(closing.map(|closing| {
            ws_codec::Closing { code: closing.code.into(), reason: closing.reason.to_string() }
        })),
        tungstenite::Message::Frame(_) => return None,
    })
}

/// Tells both the same, and fails where they differ beyond what is allowed.
pub(crate) fn compare(stream: &[u8], cuts: &[usize]) {
    let mut pieces = vec![stream.to_vec()];
    for cut in cuts {
        let last = pieces.pop().unwrap_or_default();
        let (head, tail) = last.split_at(cut % (last.len() + 1));
        pieces.extend([head.to_vec(), tail.to_vec()]);
    }
    pieces.retain(|piece| !piece.is_empty());
    let (messages, violation, rest) =
        decode_up_to(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let ours = (messages, violation);
    let theirs = match theirs(pieces) {
        // Any bytes that follow have to come to the same end.
        (_, None) if ours.1.is_some() => self::theirs(vec![stream.to_vec(), vec![0; 2 * LIMIT]]),
        theirs => theirs,
    };
    let agreed = match (ours.1, theirs.1) {
        (None, None) => ours.0 == theirs.0,
        (Some(_), Some(_)) => theirs.0.starts_with(&ours.0),
        (Some(_), None) => is_long_control(&rest) && theirs.0.starts_with(&ours.0),
        (None, Some(_)) => false,
    };
    assert!(agreed, "{stream:02x?}\nours:   {ours:?}\ntheirs: {theirs:?}");
}

/// Tells whether the frame is a ping, a pong or a close whose length is not written in the short form.
fn is_long_control(frame: &[u8]) -> bool {
    matches!(frame, [first, second, ..] if first & 0x08 != 0 && second & 0x7f > 125)
}
