//! What RFC 6455 asks for, sentence by sentence.

use ws_codec::{Closing, Frame, Message, Violation};

use crate::support::{LIMIT, decode, frame};

fn one(bytes: &[u8]) -> Result<Message, Violation> {
    let (mut messages, violation) = decode(&[bytes]);
    match violation {
        None => Ok(messages.pop().expect("a message")),
        Some(violation) => Err(violation),
    }
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

#[test]
fn a_masked_text_is_read() {
    // RFC 6455 §5.7, "A single-frame masked text message".
    let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(one(&bytes), Ok(text("Hello")));
}

#[test]
fn fragments_are_joined_and_control_frames_may_come_between_them() {
    let stream = [frame(0x01, b"Hel"), frame(0x89, b"ping"), frame(0x80, b"lo")].concat();
    let ping = Message::Ping(b"ping".as_slice().into());
    assert_eq!(decode(&[&stream]), (vec![ping, text("Hello")], None));
}

#[test]
fn what_may_not_be_is_a_protocol_error() {
    let long = vec![0; 126];
    let wrong = [
        ("no mask", vec![0x81, 0x01, b'a']),
        ("a reserved bit", frame(0xc1, b"a")),
        ("a reserved data opcode", frame(0x83, b"a")),
        ("a reserved control opcode", frame(0x8b, b"a")),
        ("a fragmented ping", frame(0x09, b"a")),
        ("a ping of 126 bytes", frame(0x89, &long)),
        ("a continuation of nothing", frame(0x80, b"a")),
        ("a text within a text", [frame(0x01, b"a"), frame(0x81, b"b")].concat()),
        ("a length with the highest bit", [&[0x82, 0xff], [0xff; 8].as_slice(), &[0; 4]].concat()),
        ("a close frame of one byte", frame(0x88, b"a")),
        ("a close code that may not be sent", frame(0x88, &1005_u16.to_be_bytes())),
        ("a close code that nobody has given out", frame(0x88, &2999_u16.to_be_bytes())),
    ];
    for (what, bytes) in wrong {
        assert_eq!(decode(&[&bytes]).1, Some(Violation::Protocol), "{what}");
    }
}

#[test]
fn bad_text_is_told_as_such_and_by_the_first_fragment_that_has_it() {
    assert_eq!(one(&frame(0x81, b"\xff")), Err(Violation::Utf8));
    assert_eq!(one(&frame(0x88, b"\x03\xe8\xff")), Err(Violation::Utf8));
    assert_eq!(decode(&[&frame(0x01, b"\xff")]).1, Some(Violation::Utf8));
    let split = [frame(0x01, b"\xe2\x82"), frame(0x80, b"\xac")].concat();
    assert_eq!(one(&split), Ok(text("\u{20ac}")));
    let broken = [frame(0x01, b"\xe2\x82"), frame(0x80, b"a")].concat();
    assert_eq!(one(&broken), Err(Violation::Utf8));
    assert_eq!(one(&frame(0x81, b"\xe2\x82")), Err(Violation::Utf8));
}

#[test]
fn a_message_that_is_too_large_is_told_by_its_head() {
    let huge = frame(0x82, &vec![0; LIMIT + 1]);
    assert_eq!(decode(&[&huge[..8]]).1, Some(Violation::TooLarge));
    let halves = [frame(0x02, &vec![0; LIMIT]), frame(0x80, b"a")].concat();
    assert_eq!(decode(&[&halves]).1, Some(Violation::TooLarge));
    assert!(one(&frame(0x82, &vec![0; LIMIT])).is_ok());
}

#[test]
fn a_close_frame_tells_code_and_reason() {
    let closing = Closing { code: 4000, reason: "bye".to_owned() };
    assert_eq!(one(&frame(0x88, b"\x0f\xa0bye")), Ok(Message::Close(Some(closing))));
    assert_eq!(one(&frame(0x88, b"")), Ok(Message::Close(None)));
}

#[test]
fn lengths_are_written_in_their_shortest_form() {
    for (length, head) in [
        (125, vec![0x81, 125]),
        (126, vec![0x81, 126, 0, 126]),
        (65_535, vec![0x81, 126, 0xff, 0xff]),
        (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let (payload, mut out) = (vec![b'a'; length], Vec::new());
        Frame::Text(&payload).write(&mut out);
        assert_eq!((&out[..head.len()], out.len()), (&*head, head.len() + length));
    }
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let (reason, mut out) = ("\u{20ac}".repeat(50), Vec::new());
    Frame::Close(Some((4000, &reason))).write(&mut out);
    assert_eq!(usize::from(out[1]), out.len() - 2);
    assert!(out.len() <= 127 && std::str::from_utf8(&out[4..]).is_ok());
}

#[test]
fn a_message_in_endless_empty_fragments_is_too_large() {
    let mut stream = frame(0x01, b"");
    for _ in 0..4_094 {
        stream.extend(frame(0x00, b""));
    }
    let whole = [stream.clone(), frame(0x80, b"end")].concat();
    assert_eq!(decode(&[&whole]), (vec![Message::Text("end".to_owned())], None));
    stream.extend(frame(0x00, b""));
    stream.extend(frame(0x00, b""));
    assert_eq!(decode(&[&stream]).1, Some(Violation::TooLarge));
}
