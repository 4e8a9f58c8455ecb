//! The golden frames in `wire/` are what the types read and write, and what `docs/PROTOCOL.md` shows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cast;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use signal_protocol::{ClientMessage, CloseCode, ErrorCode, Mid, limits, parse};

use cast::{Cast, seq};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/wire"))
}

fn golden(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn names(prefix: &str) -> BTreeSet<String> {
    fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| Some(name.strip_prefix(prefix)?.strip_suffix(".json")?.to_owned()))
        .collect()
}

#[test]
fn every_server_frame_is_written_exactly_as_its_golden_file() {
    let cast = Cast::new();
    let mut seen = BTreeSet::new();
    for (name, message) in
        [cast.membership(), cast.talk(), cast.presence(), cast.calls(), cast.replies()].concat()
    {
        assert_eq!(message.to_json(), golden(&format!("server.{name}.json")).trim(), "{name}");
        seen.insert(name.to_owned());
    }
    assert_eq!(seen, names("server."), "a golden file without a test, or the reverse");
}

fn kind(message: &ClientMessage<'_>) -> &'static str {
    match message {
        ClientMessage::Hello(hello) if hello.token.is_none() => "hello-anonymous",
        ClientMessage::Hello(_) => "hello",
        ClientMessage::Join(join) if join.call.is_some() => "join-call",
        ClientMessage::Call(call) if call.room.is_some() => "call-room",
        ClientMessage::Call(_) => "call",
        ClientMessage::Accept(_) => "accept",
        ClientMessage::Decline(_) => "decline",
        ClientMessage::Cancel(_) => "cancel",
        ClientMessage::Join(join) if join.seq.is_some() => "join-resume",
        ClientMessage::Join(_) => "join",
        ClientMessage::Signal(signal) if signal.to.is_none() => "signal-room",
        ClientMessage::Signal(_) => "signal",
        ClientMessage::Volatile(_) => "signal-volatile",
        ClientMessage::Update(_) => "update",
        ClientMessage::Leave(_) => "leave",
        ClientMessage::Ice(_) => "ice",
        ClientMessage::Auth(_) => "auth",
        ClientMessage::Kick(_) => "kick",
        ClientMessage::Online(online) if online.resume => "online-resume",
        ClientMessage::Online(_) => "online",
        ClientMessage::Offline(_) => "offline",
        ClientMessage::Watch(_) => "watch",
        ClientMessage::Unwatch(_) => "unwatch",
        ClientMessage::Report(report) if report.call.is_none() => "report-media",
        ClientMessage::Report(_) => "report",
        ClientMessage::Ping => "ping",
    }
}

#[test]
fn every_client_golden_file_is_understood_as_what_it_is_called() {
    let all = names("client.");
    assert_eq!(all.len(), 26);
    for name in all {
        let text = golden(&format!("client.{name}.json"));
        let message = parse(&text).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        assert_eq!(kind(&message), name);
    }
}

#[test]
fn the_resume_golden_frame_carries_key_try_position_and_settled_message() {
    let text = golden("client.join-resume.json");
    let Ok(ClientMessage::Join(join)) = parse(&text) else { panic!("not a join") };
    assert_eq!((join.attempt.get(), join.seq, join.mid), (2, Some(seq(41)), Some(Mid(31))));
    assert_eq!(join.key.peer().as_str(), "p_RZiseU6qXKAcEML9utEZlg");
}

#[test]
fn the_code_tables_agree_with_codes_json() {
    let codes: Value = serde_json::from_str(&golden("codes.json")).unwrap();
    let close = codes["close"].as_array().unwrap();
    assert_eq!(close.len(), CloseCode::ALL.len());
    for (told, code) in close.iter().zip(CloseCode::ALL) {
        assert_eq!(told["code"], code.number());
        assert_eq!(told["name"], code.name());
        assert_eq!(told["action"], serde_json::to_value(code.action()).unwrap());
    }
    let errors = codes["errors"].as_array().unwrap();
    assert_eq!(errors.len(), ErrorCode::ALL.len());
    for (told, code) in errors.iter().zip(ErrorCode::ALL) {
        assert_eq!(told["code"], code.name());
        assert_eq!(told["code"], serde_json::to_value(code).unwrap());
        assert_eq!(told["retry"], code.retry());
    }
}

#[test]
fn the_limits_agree_with_codes_json() {
    let codes: Value = serde_json::from_str(&golden("codes.json")).unwrap();
    let expected = serde_json::json!({
        "message": limits::MESSAGE_BYTES, "meta": limits::META_BYTES, "room": limits::ROOM_CHARS,
        "subject": limits::SUBJECT_BYTES, "key": limits::KEY_CHARS, "unacked": limits::UNACKED,
        "ack_every": limits::ACK_EVERY, "state": limits::STATE_BYTES, "devices": limits::DEVICES,
        "users": limits::USERS_PER_MESSAGE, "call": limits::CALL_CHARS, "ring": limits::RING_SECONDS,
    });
    assert_eq!(codes["limits"], expected);
}

#[test]
fn the_published_protocol_shows_every_golden_frame() {
    let text = fs::read_to_string(folder().join("../../../docs/PROTOCOL.md")).unwrap();
    for prefix in ["client.", "server."] {
        for name in names(prefix) {
            let frame = golden(&format!("{prefix}{name}.json"));
            assert!(text.contains(frame.trim()), "docs/PROTOCOL.md lacks {prefix}{name}");
        }
    }
}
