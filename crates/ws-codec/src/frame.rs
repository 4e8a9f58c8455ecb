//! Frames on the wire (RFC 6455 §5.2): heads of arriving ones, and whole ones to be sent.

/// The longest payload of a control frame (§5.5), in bytes.
pub(crate) const MAX_CONTROL: usize = 125;

/// How the other side broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A frame that must not be there, or not be so.
    Protocol,
    /// Text that is not UTF-8.
    Utf8,
    /// A message that is larger than it may be.
    TooLarge,
}

impl Violation {
    /// The code to close with (§7.4.1).
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Utf8 => 1007,
            Self::TooLarge => 1009,
        }
    }
}

/// What a frame is (§5.2, "Opcode").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl Opcode {
    fn read(bits: u8) -> Result<Self, Violation> {
        match bits {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xa => Ok(Self::Pong),
            _ => Err(Violation::Protocol),
        }
    }

    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The head of a frame that a client has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) last: bool,
    pub(crate) opcode: Opcode,
    pub(crate) mask: [u8; 4],
    /// Bytes of the payload.
    pub(crate) length: u64,
    /// Bytes of the head itself.
    pub(crate) size: usize,
}

impl Head {
    /// Reads the head at the beginning of `input`; `None` if more of it has to come.
    ///
    /// The first two bytes suffice for faults that they show.
    pub(crate) fn read(input: &[u8]) -> Result<Option<Self>, Violation> {
        let Some(([first, second], rest)) = input.split_first_chunk::<2>() else { return Ok(None) };
        let opcode = Opcode::read(first & 0x0f)?;
        let last = first & 0x80 != 0;
        let short = second & 0x7f;
        let reserved = first & 0x70 != 0;
        let masked = second & 0x80 != 0;
        let split_control = opcode.is_control() && (!last || usize::from(short) > MAX_CONTROL);
        if reserved || !masked || split_control {
            return Err(Violation::Protocol);
        }
        let Some((length, rest)) = length(short, rest)? else { return Ok(None) };
        let Some((mask, payload)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let size = input.len() - payload.len();
        Ok(Some(Self { last, opcode, mask: *mask, length, size }))
    }
}

/// Reads the length of a payload, which may be longer than its shortest form (§5.2 asks for that of senders).
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    match short {
        126 => Ok(rest
            .split_first_chunk::<2>()
            .map(|(bytes, rest)| (u64::from(u16::from_be_bytes(*bytes)), rest))),
        127 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            let length = u64::from_be_bytes(*bytes);
            // "The most significant bit MUST be 0."
            if length >> 63 == 1 { Err(Violation::Protocol) } else { Ok(Some((length, rest))) }
        }
        short => Ok(Some((u64::from(short), rest))),
    }
}

/// Takes the mask off a payload (§5.3), or puts it on.
pub(crate) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Why a connection is closed (§5.5.1), as the other side said or as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The code (§7.4).
    pub code: u16,
    /// For a person to read.
    pub reason: String,
}

impl Closing {
    /// Reads the payload of a close frame; `None` if it is empty.
    pub(crate) fn read(payload: &[u8]) -> Result<Option<Self>, Violation> {
        if payload.is_empty() {
            return Ok(None);
        }
        let (code, reason) = payload.split_first_chunk::<2>().ok_or(Violation::Protocol)?;
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(Violation::Protocol);
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
        Ok(Some(Self { code, reason: reason.to_owned() }))
    }
}

/// Tells whether a close frame may carry this code from a client (§7.4.1, §7.4.2, and the IANA registry, whose 1014 is of gateways).
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999)
}

/// A frame of the server: whole, and without a mask (§5.1).
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Text(&'a [u8]),
    Binary(&'a [u8]),
    /// A ping; at most 125 bytes.
    Ping(&'a [u8]),
    /// A pong; at most 125 bytes.
    Pong(&'a [u8]),
    /// A close frame; `None` has no code.
    Close(Option<(u16, &'a str)>),
}

impl Frame<'_> {
    /// Appends the frame to `out`. What is too long for a control frame is cut.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(payload) => write(Opcode::Text, payload, out),
            Self::Binary(payload) => write(Opcode::Binary, payload, out),
            Self::Ping(payload) => write(Opcode::Ping, cut(payload), out),
            Self::Pong(payload) => write(Opcode::Pong, cut(payload), out),
            Self::Close(None) => write(Opcode::Close, &[], out),
            Self::Close(Some((code, reason))) => {
                let fits = |at: &usize| *at <= MAX_CONTROL - 2 && reason.is_char_boundary(*at);
                let reason = &reason[..(0..=reason.len()).rev().find(fits).unwrap_or_default()];
                let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
                write(Opcode::Close, &payload, out);
            }
        }
    }
}

fn cut(payload: &[u8]) -> &[u8] {
    &payload[..payload.len().min(MAX_CONTROL)]
}

fn write(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode as u8);
    let length = payload.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}
