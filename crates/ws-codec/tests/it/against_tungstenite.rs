//! What clients mean, what they damage, and the corpus, read by this codec and by tungstenite.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::comparison::compare;
use crate::support::frame;

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
