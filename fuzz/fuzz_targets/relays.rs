//! What a relay, or whoever claims to be one, sends to the prober.

#![no_main]

use libfuzzer_sys::fuzz_target;
use turn_cred_service::relay::read_message;

fuzz_target!(|bytes: &[u8]| {
    let is_signed = read_message(bytes);
    assert_ne!(is_signed, Some(true), "a message signed with a key that nobody has");
});
