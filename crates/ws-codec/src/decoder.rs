//! From bytes to messages, without a socket.

use crate::frame::{Closing, Head, Opcode, Violation, unmask};

/// What a client has sent.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
    /// A ping, which is to be answered by the same payload (RFC 6455 §5.5.3).
    Ping(Box<[u8]>),
    Pong,
    /// The client closes; `None` if it gave no code.
    Close(Option<Closing>),
}

/// A step of the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// More has to arrive before anything can be said.
    Incomplete,
    /// So many bytes were a frame, and with it this message, if it was the last one of it.
    Frame(usize, Option<Message>),
}

/// Fragments that one message may come in: empty ones would never end it, and cost time without adding to its size.
const FRAGMENTS: u32 = 4_096;

/// A message of which fragments have come (§5.4).
#[derive(Debug)]
struct Started {
    is_text: bool,
    fragments: u32,
    data: Vec<u8>,
    /// How much of it is known to be UTF-8.
    valid: usize,
}

/// Reads the frames of one client.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    started: Option<Box<Started>>,
}

impl Decoder {
    /// Makes one that takes messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, started: None }
    }

    /// Returns how many bytes it keeps.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.started.as_ref().map_or(0, |started| started.data.capacity())
    }

    /// Reads the frame at the beginning of `input`, whose mask is taken off in place.
    ///
    /// # Errors
    /// [`Violation`] as soon as it is certain; nothing that follows can be read then.
    pub fn decode(&mut self, input: &mut [u8]) -> Result<Decoded, Violation> {
        let Some(head) = Head::read(input)? else { return Ok(Decoded::Incomplete) };
        let length = self.admit(&head)?;
        let end = head.size + length;
        let Some(payload) = input.get_mut(head.size..end) else { return Ok(Decoded::Incomplete) };
        unmask(payload, head.mask);
        let message = if head.opcode.is_control() {
            Some(control(head.opcode, payload)?)
        } else {
            self.data(&head, payload)?
        };
        Ok(Decoded::Frame(end, message))
    }

    /// Tells whether a frame may come now and be so long.
    fn admit(&self, head: &Head) -> Result<usize, Violation> {
        let before = match (head.opcode, &self.started) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _)
            | (Opcode::Text | Opcode::Binary, None) => 0,
            (Opcode::Continuation, Some(started)) => started.data.len(),
            (Opcode::Continuation, None) | (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(Violation::Protocol);
            }
        };
        let length = usize::try_from(head.length).map_err(|_| Violation::TooLarge)?;
        let is_data = !head.opcode.is_control();
        if is_data && length > self.limit.saturating_sub(before) {
            return Err(Violation::TooLarge);
        }
        Ok(length)
    }

    fn data(&mut self, head: &Head, payload: &[u8]) -> Result<Option<Message>, Violation> {
        let is_text = head.opcode == Opcode::Text;
        let Some(started) = &mut self.started else {
            if head.last {
                return whole(is_text, payload).map(Some);
            }
            let mut started = Started { is_text, fragments: 1, data: payload.to_vec(), valid: 0 };
            started.check()?;
            self.started = Some(Box::new(started));
            return Ok(None);
        };
        started.fragments += 1;
        if started.fragments > FRAGMENTS {
            return Err(Violation::TooLarge);
        }
        started.data.extend_from_slice(payload);
        started.check()?;
        if !head.last {
            return Ok(None);
        }
        let Some(started) = self.started.take() else { return Ok(None) };
        started.end().map(Some)
    }
}

impl Started {
    /// Checks what has come so far, so that bad text is told by its first fragment.
    fn check(&mut self) -> Result<(), Violation> {
        if !self.is_text {
            return Ok(());
        }
        match std::str::from_utf8(&self.data[self.valid..]) {
            Ok(_) => self.valid = self.data.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(Violation::Utf8),
        }
        Ok(())
    }

    fn end(self) -> Result<Message, Violation> {
        if !self.is_text {
            return Ok(Message::Binary(self.data));
        }
        String::from_utf8(self.data).map(Message::Text).map_err(|_| Violation::Utf8)
    }
}

fn whole(is_text: bool, payload: &[u8]) -> Result<Message, Violation> {
    if !is_text {
        return Ok(Message::Binary(payload.to_vec()));
    }
    let text = std::str::from_utf8(payload).map_err(|_| Violation::Utf8)?;
    Ok(Message::Text(text.to_owned()))
}

fn control(opcode: Opcode, payload: &[u8]) -> Result<Message, Violation> {
    match opcode {
        Opcode::Close => Closing::read(payload).map(Message::Close),
        Opcode::Ping => Ok(Message::Ping(payload.into())),
        Opcode::Pong | Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok(Message::Pong),
    }
}
