//! One packet: a digit for its type, and data behind it.

/// One packet of text.
#[expect(missing_docs, reason = "the names are the protocol's")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The parameters of the session; the first packet of a server.
    Open(&'a str),
    Close,
    Ping(&'a str),
    Pong(&'a str),
    Message(&'a str),
    /// The WebSocket carries the session from now on.
    Upgrade,
    /// Nothing: it answers a poll that is not to wait any longer.
    Noop,
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None`: its type is not known, or it carries binary data (`b…`).
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let data = text.get(1..)?;
        Some(match text.as_bytes().first()? {
            b'0' => Self::Open(data),
            b'1' => Self::Close,
            b'2' => Self::Ping(data),
            b'3' => Self::Pong(data),
            b'4' => Self::Message(data),
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            _ => return None,
        })
    }

    /// Writes the packet.
    #[must_use]
    pub fn to_text(self) -> String {
        let (digit, data) = match self {
            Self::Open(data) => ('0', data),
            Self::Close => ('1', ""),
            Self::Ping(data) => ('2', data),
            Self::Pong(data) => ('3', data),
            Self::Message(data) => ('4', data),
            Self::Upgrade => ('5', ""),
            Self::Noop => ('6', ""),
        };
        format!("{digit}{data}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_a_digit_and_its_data() {
        for (text, packet) in [
            ("0{}", Packet::Open("{}")),
            ("1", Packet::Close),
            ("2probe", Packet::Ping("probe")),
            ("3", Packet::Pong("")),
            ("4hello", Packet::Message("hello")),
            ("4é€😀", Packet::Message("é€😀")),
            ("5", Packet::Upgrade),
            ("6", Packet::Noop),
        ] {
            assert_eq!(Packet::parse(text), Some(packet));
            assert_eq!(packet.to_text(), text);
        }
    }

    #[test]
    fn other_types_and_binary_data_are_no_packet() {
        for text in ["", "7", "x", "bAQID", "b4AQID", "é", "😀4"] {
            assert_eq!(Packet::parse(text), None, "{text:?}");
        }
    }
}
