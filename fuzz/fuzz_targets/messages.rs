//! What a client says: it is understood, or refused with what can be read of it. A payload stays the bytes it was, and
//! cannot say anything in the frame that carries it on.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;
use signal_protocol::client::Meta;
use signal_protocol::server::ErrorFrame;
use signal_protocol::{ClientMessage, ErrorCode, FrameFault, ServerMessage, parse};

fuzz_target!(|text: &str| match parse(text) {
    Ok(message) => payload(&message).into_iter().for_each(|data| carried(text, data)),
    Err(fault) => refused(&fault),
});

fn payload<'a>(message: &ClientMessage<'a>) -> Option<&'a RawValue> {
    match message {
        ClientMessage::Signal(signal) => Some(signal.data),
        ClientMessage::Volatile(volatile) => Some(volatile.data),
        ClientMessage::Update(update) => Some(update.meta.raw()),
        ClientMessage::Join(join) => join.meta.map(Meta::raw),
        _ => None,
    }
}

fn carried(text: &str, data: &RawValue) {
    assert!(text.contains(data.get()), "the payload is not a part of the frame");
    let room = "demo".parse().expect("a room");
    let (seq, to, volatile) = (None, None, true);
    let frame = ServerMessage::Signal { room: &room, seq, volatile, from: "p_sender", to, data };
    // Half a surrogate pair is JSON (RFC 8259 §8.2), though no text: values are compared as they are written.
    let frame = frame.to_json();
    let told: BTreeMap<String, &RawValue> =
        serde_json::from_str(&frame).expect("a frame that is JSON");
    let [kind, from] = ["type", "from"].map(|name| told[name].get());
    assert_eq!((kind, from), (r#""signal""#, r#""p_sender""#));
    assert_eq!(told["data"].get(), data.get(), "the payload has changed");
}

fn refused(fault: &FrameFault) {
    assert!(matches!(
        fault.code,
        ErrorCode::BadRequest | ErrorCode::TooLarge | ErrorCode::Unsupported
    ));
    assert!(fault.mid.is_none() || fault.room.is_some(), "a `mid` means nothing without its room");
    let error = ErrorFrame::new(fault.code, &fault.message);
    let frame = ServerMessage::Error(ErrorFrame { id: fault.id, mid: fault.mid, ..error });
    let _: Value = serde_json::from_str(&frame.to_json()).expect("a frame that is JSON");
}
