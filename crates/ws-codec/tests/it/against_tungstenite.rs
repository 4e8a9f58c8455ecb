//! The same bytes, in the same pieces, to this codec and to tungstenite.
//!
//! They may differ in two points, and the comparison says where: what is wrong we tell as soon as it is certain,
//! by a head or a first fragment, where tungstenite waits for the rest of it; and of two things that are wrong
//! with one frame they may name different ones.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use proptest::prelude::*;
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use ws_codec::{Message, Violation};

use crate::support::{LIMIT, decode, frame};

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
fn compare(stream: &[u8], cuts: &[usize]) {
    let mut pieces = vec![stream.to_vec()];
    for cut in cuts {
        let last = pieces.pop().unwrap_or_default();
        let (head, tail) = last.split_at(cut % (last.len() + 1));
        pieces.extend([head.to_vec(), tail.to_vec()]);
    }
    pieces.retain(|piece| !piece.is_empty());
    let ours = decode(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let theirs = match theirs(pieces) {
        // Whatever follows, it has to come to the same end.
        (_, None) if ours.1.is_some() => self::theirs(vec![stream.to_vec(), vec![0; 2 * LIMIT]]),
        theirs => theirs,
    };
    let agreed = match (ours.1, theirs.1) {
        (None, None) => ours.0 == theirs.0,
        (Some(_), Some(_)) => theirs.0.starts_with(&ours.0),
        _ => false,
    };
    assert!(agreed, "{stream:02x?}\nours:   {ours:?}\ntheirs: {theirs:?}");
}

/// Frames as a client could mean them, now and then wrong.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => Just(0x81_u8), 4 => Just(0x01), 6 => Just(0x80), 3 => Just(0x00), 3 => Just(0x82),
        3 => Just(0x89), 2 => Just(0x8a), 1 => Just(0x88), 1 => any::<u8>(),
    ];
    let text = "\\PC{0,12}".prop_map(String::into_bytes);
    let payload = prop_oneof![
        8 => text, 2 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (0..5_000_usize).prop_map(|length| vec![b'z'; length]),
        1 => (1000..5000_u16).prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    let one = (first, payload).prop_map(|(first, payload)| frame(first, &payload));
    prop::collection::vec(one, 1..8).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn both_read_the_same_frames(stream in frames(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        compare(&stream, &cuts);
    }

    #[test]
    fn both_read_the_same_damaged_frames(
        stream in frames(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        cuts in prop::collection::vec(any::<usize>(), 0..3),
    ) {
        let mut stream = stream;
        let at = at.index(stream.len());
        stream[at] = byte;
        compare(&stream, &cuts);
    }

    #[test]
    fn no_bytes_make_it_panic(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        compare(&stream, &[]);
    }
}

#[test]
fn both_read_the_corpus_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 10, "the corpus is gone");
    for file in files {
        let stream = fs::read(&file).unwrap();
        (0..stream.len()).for_each(|cut| compare(&stream, &[cut]));
    }
}
