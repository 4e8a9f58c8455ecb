//! What arrives on a room's channel in Redis: read, or refused, and its numbers add up.

#![no_main]

use libfuzzer_sys::fuzz_target;
use signal_node::log::FeedEvent;
use signal_node::log::redis::read_channel;

fuzz_target!(|bytes: &[u8]| match read_channel(bytes) {
    Ok(FeedEvent::Batch(batch)) => {
        assert!(batch.last() >= batch.first, "a batch that ends before it begins");
        assert!(batch.bytes() > 0);
    }
    Ok(FeedEvent::Volatile(volatiles)) => assert!(!volatiles.is_empty(), "news of nothing"),
    Ok(_) => panic!("a channel tells of nothing else"),
    Err(_) => {}
});
