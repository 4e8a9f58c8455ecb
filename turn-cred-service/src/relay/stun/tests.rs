use super::*;
use proptest::prelude::*;

/// RFC 5769 §2.4: a request with a long-term credential.
const SAMPLE_REQUEST: [u8; 116] = [
    0x00, 0x01, 0x00, 0x60, 0x21, 0x12, 0xa4, 0x42, 0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0,
    0x29, 0xda, 0x41, 0x2e, 0x00, 0x06, 0x00, 0x12, 0xe3, 0x83, 0x9e, 0xe3, 0x83, 0x88, 0xe3, 0x83,
    0xaa, 0xe3, 0x83, 0x83, 0xe3, 0x82, 0xaf, 0xe3, 0x82, 0xb9, 0x00, 0x00, 0x00, 0x15, 0x00, 0x1c,
    0x66, 0x2f, 0x2f, 0x34, 0x39, 0x39, 0x6b, 0x39, 0x35, 0x34, 0x64, 0x36, 0x4f, 0x4c, 0x33, 0x34,
    0x6f, 0x4c, 0x39, 0x46, 0x53, 0x54, 0x76, 0x79, 0x36, 0x34, 0x73, 0x41, 0x00, 0x14, 0x00, 0x0b,
    0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x6f, 0x72, 0x67, 0x00, 0x00, 0x08, 0x00, 0x14,
    0xf6, 0x70, 0x24, 0x65, 0x6d, 0xd6, 0x4a, 0x3e, 0x02, 0xb8, 0xe0, 0x71, 0x2e, 0x85, 0xc9, 0xa2,
    0x8c, 0xa8, 0x96, 0x66,
];

/// The header of the responses of RFC 5769 §2.2 and §2.3, for attributes of `length` bytes.
fn sample_response(length: u8, attributes: &[u8]) -> Message {
    let header = [
        0x01, 0x01, 0x00, length, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6,
        0x86, 0xfa, 0x87, 0xdf, 0xae,
    ];
    Message::decode(&[&header, attributes].concat()).unwrap()
}

/// A message with these attributes.
fn message(attributes: &[(u16, Vec<u8>)]) -> Message {
    let empty = Message::request(Method::Allocate);
    attributes.iter().fold(empty, |message, (kind, value)| message.with(*kind, value))
}

fn attributes() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    // MESSAGE-INTEGRITY ends decoding.
    let kind = any::<u16>().prop_filter("ends a message", |kind| *kind != 0x0008);
    prop::collection::vec((kind, prop::collection::vec(any::<u8>(), 0..40)), 0..8)
}

#[test]
fn the_signature_of_the_sample_request_is_right() {
    let message = Message::decode(&SAMPLE_REQUEST).unwrap();
    let key = long_term_key("マトリックス", b"example.org", "TheMatrIX");
    assert_eq!(message.get(attribute::USERNAME), Some("マトリックス".as_bytes()));
    assert_eq!(message.get(attribute::NONCE), Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..]));
    assert!(message.is_signed(key));
    assert!(!message.is_signed(long_term_key("マトリックス", b"example.org", "TheMatrix")));
}

#[test]
fn the_sample_request_is_written_byte_for_byte() {
    let mut message = Message::request(Method::Binding)
        .with(attribute::USERNAME, "マトリックス".as_bytes())
        .with(attribute::NONCE, b"f//499k954d6OL34oL9FSTvy64sA")
        .with(attribute::REALM, b"example.org")
        .signed(long_term_key("マトリックス", b"example.org", "TheMatrIX"));
    message.transaction.copy_from_slice(&SAMPLE_REQUEST[8..20]);
    assert_eq!(message.encode(), SAMPLE_REQUEST);
}

#[test]
fn the_addresses_of_the_sample_responses_are_read() {
    let v4 = [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
    let v6 = [
        0, 0x20, 0, 20, 0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc,
        0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
    ];
    let read = |response: Message| response.address(attribute::XOR_MAPPED_ADDRESS).unwrap();
    assert_eq!(read(sample_response(12, &v4)).to_string(), "192.0.2.1:32853");
    let expected = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
    assert_eq!(read(sample_response(24, &v6)).to_string(), expected);
}

#[test]
fn attributes_after_the_signature_are_ignored() {
    let key = long_term_key("ana", b"realm", "password");
    let mut bytes = message(&[(attribute::REALM, b"realm".to_vec())]).signed(key).encode();
    push_attribute(&mut bytes, attribute::NONCE, b"forged");
    let length = bytes.len() - HEADER_BYTES;
    set_length(&mut bytes, length);
    let read = Message::decode(&bytes).unwrap();
    assert!(read.is_signed(key));
    assert_eq!(read.get(attribute::REALM), Some(&b"realm"[..]));
    assert_eq!(read.get(attribute::NONCE), None);
}

#[test]
fn bytes_that_are_not_stun_do_not_decode() {
    let good = Message::request(Method::Binding).encode();
    assert!(Message::decode(&good).is_some());
    assert!(Message::decode(&good[..19]).is_none());
    assert!(Message::decode(&[&good[..], &[0; 4]].concat()).is_none());
    // ChannelData (RFC 8656 §12.4), a wrong cookie, an odd length.
    for (at, value) in [(0, 0x40), (4, 0x20), (3, 2)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(Message::decode(&bad).is_none(), "byte {at}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), key: [u8; 16]) {
        let _ = Message::decode(&body);
        // A valid header, so that decoding gets to the attributes.
        let mut bytes = Message::request(Method::Binding).encode();
        bytes.extend(&body[..body.len() / 4 * 4]);
        let length = bytes.len() - HEADER_BYTES;
        set_length(&mut bytes, length);
        if let Some(message) = Message::decode(&bytes) {
            message.is_signed(key);
            message.error_code();
            message.address(attribute::XOR_MAPPED_ADDRESS);
        }
    }

    #[test]
    fn an_encoded_message_decodes_to_itself(attributes in attributes(), key: [u8; 16]) {
        let written = message(&attributes).signed(key);
        let mut read = Message::decode(&written.encode()).unwrap();
        prop_assert!(read.is_signed(key));
        prop_assert!(read.attributes.pop().is_some_and(|(kind, _)| kind == 0x0008));
        prop_assert_eq!(read.attributes, attributes);
        prop_assert_eq!((read.kind, read.transaction), (written.kind, written.transaction));
    }

    #[test]
    fn one_changed_bit_breaks_the_signature(attributes in attributes(), key: [u8; 16], bit: usize) {
        let mut bytes = message(&attributes).signed(key).encode();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Message::decode(&bytes).is_none_or(|read| !read.is_signed(key)));
    }

    #[test]
    fn an_address_is_read_as_it_was(address: std::net::SocketAddr) {
        let written = Message::request(Method::Send).with_address(attribute::DATA, address);
        let read = written.address(attribute::DATA).unwrap();
        prop_assert_eq!((read.ip(), read.port()), (address.ip(), address.port()));
    }
}
