//! What comes over a socket: the codec and tungstenite have to read the same of it, whole and in pieces.

#![no_main]

#[path = "../../crates/ws-codec/tests/it/comparison.rs"]
mod comparison;
#[path = "../../crates/ws-codec/tests/it/support.rs"]
#[expect(dead_code, reason = "frames are made by the tests and found by the fuzzer")]
mod support;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    comparison::compare(stream, &[]);
    comparison::compare(stream, &[stream.len() / 2, stream.len() / 3]);
});
