//! One who has no valid token: it holds a connection at a time, and comes back whenever that has ended.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

/// How often somebody who is slow sends another byte.
const DRIP_EVERY: Duration = Duration::from_millis(500);
/// How often somebody who takes no answers asks for another one.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// What somebody who takes no answers may have of them in the kernel, in bytes.
const UNTAKEN: u32 = 4 * 1024;
/// The head of a close frame of a server, before its code (RFC 6455 §5.5.1).
const CLOSE: u8 = 0x88;

/// What strangers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Shows a wrong token, again and again over a connection that is kept alive.
    WrongTokens,
    /// Sends headers or a body byte by byte.
    SlowRequests,
    /// Asks, and takes no answer.
    UntakenAnswers,
    /// Connects and sends nothing.
    Idle,
    /// Upgrades and never says hello.
    NoHello,
    /// Upgrades with the origin of a page whose name was resolved to the node.
    ReboundOrigin,
    /// Upgrades and sends frames that break RFC 6455.
    MalformedFrames,
}

/// What a connection does once it has sent its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Sends the text again after each answer.
    Repeats,
    /// Sends one more byte, again and again.
    Drips,
    /// Sends the text again and again, and reads nothing.
    ReadsNothing,
    /// Waits for its end.
    Waits,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    Status(u16),
    /// The code of a close frame.
    Close(u16),
    /// It was let in.
    Welcome,
    /// The other side has ended the connection.
    Ended,
}

/// How often what came back for whom.
#[derive(Default)]
pub(super) struct AnswerCounts(BTreeMap<(Kind, Answer), usize>);

impl AnswerCounts {
    fn add(&mut self, kind: Kind, answer: Answer) {
        *self.0.entry((kind, answer)).or_default() += 1;
    }

    fn add_all(&mut self, kind: Kind, answers: Vec<Answer>) {
        for answer in answers {
            self.add(kind, answer);
        }
    }

    pub(super) fn extend(&mut self, other: Self) {
        for (key, count) in other.0 {
            *self.0.entry(key).or_default() += count;
        }
    }

    pub(super) fn count(&self, wanted: impl Fn(Kind, Answer) -> bool) -> usize {
        let matching = self.0.iter().filter(|((kind, answer), _)| wanted(*kind, *answer));
        matching.map(|(_, count)| count).sum()
    }
}

/// What somebody does, from where, and how long it stays away between two connections.
#[derive(Clone, Debug)]
pub(super) struct Attacker {
    pub(super) kind: Kind,
    pub(super) to: SocketAddr,
    pub(super) text: Vec<u8>,
    pub(super) then: Then,
    pub(super) pause: Duration,
}

impl Attacker {
    /// Comes back until it is over.
    pub(super) async fn live(self, until: Instant, mut rng: Rng) -> AnswerCounts {
        let mut counts = AnswerCounts::default();
        // Not all in the same moment: the kernel would drop most of them before the node sees any.
        sleep(self.pause.mul_f64(rng.f64())).await;
        while let Ok(ended) = timeout_at(until, self.visit(&mut counts)).await {
            if ended.is_ok() {
                counts.add(self.kind, Answer::Ended);
            }
            sleep(self.pause.mul_f64(0.5 + rng.f64())).await;
        }
        counts
    }

    /// Holds one connection until the other side ends it.
    async fn visit(&self, counts: &mut AnswerCounts) -> io::Result<()> {
        let mut stream = self.connect().await?;
        stream.write_all(&self.text).await?;
        // From here on an error is an end by the other side.
        let _ = match self.then {
            Then::Repeats => self.read(&mut stream, counts, true).await,
            Then::Waits => self.read(&mut stream, counts, false).await,
            Then::Drips => self.drip(&mut stream, counts).await,
            Then::ReadsNothing => self.ask_on(&mut stream).await,
        };
        Ok(())
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if self.then == Then::ReadsNothing {
            socket.set_recv_buffer_size(UNTAKEN)?;
        }
        socket.bind(SocketAddr::from((self.kind.address(), 0)))?;
        socket.connect(self.to).await
    }

    async fn read(
        &self,
        stream: &mut TcpStream,
        counts: &mut AnswerCounts,
        repeats: bool,
    ) -> io::Result<()> {
        let mut buffer = [0; 2_048];
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            let found = answers(&buffer[..count]);
            let is_answered = found.iter().any(|answer| matches!(answer, Answer::Status(_)));
            counts.add_all(self.kind, found);
            if repeats && is_answered {
                stream.write_all(&self.text).await?;
            }
        }
    }

    async fn drip(&self, stream: &mut TcpStream, counts: &mut AnswerCounts) -> io::Result<()> {
        let (mut reading, mut writing) = stream.split();
        let mut ticks = interval(DRIP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut buffer = [0; 2_048];
        loop {
            tokio::select! {
                _ = ticks.tick() => writing.write_all(b"a").await?,
                count = reading.read(&mut buffer) => match count? {
                    0 => return Ok(()),
                    count => {
                        let found = answers(&buffer[..count]);
                        counts.add_all(self.kind, found);
                    }
                },
            }
        }
    }

    async fn ask_on(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            stream.write_all(&self.text).await?;
        }
    }
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::WrongTokens,
        Self::SlowRequests,
        Self::UntakenAnswers,
        Self::Idle,
        Self::NoHello,
        Self::ReboundOrigin,
        Self::MalformedFrames,
    ];

    /// Where those who do this come from: one address, in a network that nobody else is in (IPv4 by /24).
    fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 10 + self as u8, 1)
    }
}

/// Reads the status that a chunk begins with, and the frames behind its headers or at its beginning.
fn answers(chunk: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    let text = String::from_utf8_lossy(chunk);
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    found.extend(status.map(Answer::Status));
    if text.contains("\"type\":\"welcome\"") {
        found.push(Answer::Welcome);
    }
    let head = chunk.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4);
    let rest = &chunk[head.filter(|_| status.is_some()).unwrap_or(0)..];
    found.extend(close_code(rest).map(Answer::Close));
    found
}

/// Returns the code of the close frame behind other short frames of a server, which have no mask.
fn close_code(mut frames: &[u8]) -> Option<u16> {
    loop {
        let (head, length, rest) = match frames {
            [head, 126, high, low, rest @ ..] => (head, u16::from_be_bytes([*high, *low]), rest),
            [head, length @ ..126, rest @ ..] => (head, u16::from(*length), rest),
            _ => return None,
        };
        if *head == CLOSE {
            let code = rest.first_chunk()?;
            return Some(u16::from_be_bytes(*code));
        }
        frames = rest.get(usize::from(length)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_the_close_frame_behind_it() {
        assert_eq!(answers(b"HTTP/1.1 429 Too Many Requests\r\n\r\n{}"), [Answer::Status(429)]);
        let upgraded = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        let closed = [upgraded.as_slice(), &[0x88, 2, 0x10, 0x6c]].concat();
        assert_eq!(answers(&closed), [Answer::Status(101), Answer::Close(4204)]);
        assert_eq!(answers(&[0x81, 2, b'{', b'}', 0x88, 2, 0x10, 0x69]), [Answer::Close(4201)]);
        let long = [&[0x81, 126, 0, 200], [b'x'; 200].as_slice(), &[0x88, 2, 3, 234]].concat();
        assert_eq!(answers(&long), [Answer::Close(1002)]);
        assert_eq!(answers(b"\x81\x14{\"type\":\"welcome\"}"), [Answer::Welcome]);
    }
}
