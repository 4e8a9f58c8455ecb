//! What Redis answers and publishes, back in our types. Nothing in it is trusted to be well-formed.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use serde::{Deserialize as _, Deserializer, de};
use serde_json::value::RawValue;
use signal_protocol::{ErrorCode, LeaveReason, Mid, NodeId, PeerId, Recovery, Seq, Subject};

use crate::log::{
    Batch, Entry, FeedEvent, JoinRefusal, Joined, LogError, Op, Outcome, Payload, ResetMember,
    RoomView, RosterMember, Volatile,
};

pub(super) fn garbled(what: impl std::fmt::Display) -> LogError {
    LogError::UnexpectedReply(format!("unexpected {what}"))
}

/// Reads one answer per step.
pub(super) fn outcomes(reply: Value, ops: &[Op]) -> Result<Vec<Outcome>, LogError> {
    let answers = array(reply)?;
    if answers.first().is_some_and(|first| !first.is_array()) {
        return Err(rolled_back(answers));
    }
    if answers.len() != ops.len() {
        return Err(garbled(format!("{} answers to {} steps", answers.len(), ops.len())));
    }
    answers.into_iter().map(|answer| outcome(&mut Fields(array(answer)?.into_iter()))).collect()
}

/// Reads `behind <head>`.
fn rolled_back(answer: Vec<Value>) -> LogError {
    let mut fields = Fields(answer.into_iter());
    match (fields.text().as_deref(), fields.seq()) {
        (Ok("behind"), Ok(head)) => LogError::RolledBack { head },
        (first, _) => garbled(format!("{first:?} instead of answers")),
    }
}

fn array(value: Value) -> Result<Vec<Value>, LogError> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(garbled(format!("{:?} where an array belongs", other.kind()))),
    }
}

/// The fields of one answer, taken one after another.
struct Fields(std::vec::IntoIter<Value>);

impl Fields {
    fn value(&mut self) -> Result<Value, LogError> {
        self.0.next().ok_or_else(|| garbled("end of an answer"))
    }

    fn text(&mut self) -> Result<String, LogError> {
        self.value()?.into_string().ok_or_else(|| garbled("value that is not text"))
    }

    fn parse<T: FromStr>(&mut self) -> Result<T, LogError> {
        let text = self.text()?;
        text.parse().map_err(|_| garbled(format!("{text:?}")))
    }

    fn optional<T: FromStr>(&mut self) -> Result<Option<T>, LogError> {
        match self.text()?.as_str() {
            "~" => Ok(None),
            text => text.parse().map(Some).map_err(|_| garbled(format!("{text:?}"))),
        }
    }

    fn seq(&mut self) -> Result<Seq, LogError> {
        self.parse().map(Seq)
    }

    fn micros(&mut self) -> Result<Option<Duration>, LogError> {
        Ok(self.optional()?.map(Duration::from_micros))
    }
}

fn outcome(fields: &mut Fields) -> Result<Outcome, LogError> {
    let refused = |refusal| Ok(Outcome::JoinRefused(refusal));
    match fields.text()?.as_str() {
        "appended" => fields.seq().map(Outcome::Appended),
        "settled" => Ok(Outcome::Settled),
        "refused" => {
            let code = fields.text()?;
            ErrorCode::from_name(&code).map(Outcome::Refused).ok_or_else(|| garbled(code))
        }
        "out_of_order" => Ok(Outcome::OutOfOrder { expected: fields.parse().map(Mid)? }),
        "suspected" => fields.seq().map(Outcome::Suspected),
        "replaced" => fields.seq().map(Outcome::Replaced),
        "gone" => fields.seq().map(Outcome::Gone),
        "mending" => Ok(Outcome::Mending),
        "head" => fields.seq().map(Outcome::Head),
        "room" => room(fields).map(|room| Outcome::Room(Box::new(room))),
        "joined" => joined(fields).map(|joined| Outcome::Joined(Box::new(joined))),
        "full" => refused(JoinRefusal::Full { capacity: fields.parse()?, after: fields.micros()? }),
        "locked" => refused(JoinRefusal::Locked),
        "forbidden" => refused(JoinRefusal::Forbidden),
        "too_many" => refused(JoinRefusal::TooManyOfSubject),
        "held" => refused(JoinRefusal::Replaced),
        other => Err(garbled(format!("outcome {other:?}"))),
    }
}

fn joined(fields: &mut Fields) -> Result<Joined, LogError> {
    Ok(Joined {
        seq: fields.seq()?,
        base: fields.seq()?,
        n: fields.parse()?,
        origin: fields.seq()?,
        recovery: recovery(&fields.text()?)?,
        mid: fields.parse().map(Mid)?,
        roster: roster(fields)?,
    })
}

fn room(fields: &mut Fields) -> Result<RoomView, LogError> {
    Ok(RoomView {
        head: fields.seq()?,
        capacity: fields.optional()?,
        locked: fields.text()? == "1",
        members: roster(fields)?,
    })
}

fn roster(fields: &mut Fields) -> Result<Vec<RosterMember>, LogError> {
    let lines = array(fields.value()?)?.into_iter();
    lines.map(|line| roster_member(&mut Fields(array(line)?.into_iter()))).collect()
}

fn recovery(word: &str) -> Result<Recovery, LogError> {
    Recovery::from_name(word).ok_or_else(|| garbled(format!("recovery {word:?}")))
}

fn roster_member(fields: &mut Fields) -> Result<RosterMember, LogError> {
    Ok(RosterMember {
        peer: fields.parse()?,
        node: fields.parse()?,
        n: fields.parse()?,
        user: fields.optional()?,
        away: fields.micros()?,
        meta: payload(fields.text()?)?,
    })
}

fn payload(text: String) -> Result<Payload, LogError> {
    let raw = RawValue::from_string(text).map_err(|_| garbled("payload that is not JSON"))?;
    Ok(raw.into())
}

/// Reads what arrived on a room's channel.
pub(super) fn event(text: &[u8]) -> Result<FeedEvent, LogError> {
    if text.first() == Some(&b'v') {
        return volatiles(text).map(|volatiles| FeedEvent::Volatile(volatiles.into()));
    }
    batch(text).map(|batch| FeedEvent::Batch(Arc::new(batch)))
}

/// Reads `b <prev> <first> <count>\n` and that many entries.
pub(super) fn batch(text: &[u8]) -> Result<Batch, LogError> {
    let mut reader = Reader(text);
    let mut head = reader.line()?;
    head.expect("b")?;
    let (prev, first, count) = (Seq(head.parse()?), Seq(head.parse()?), head.parse::<usize>()?);
    let mut entries = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        entries.push(entry(&mut reader)?);
    }
    let end = first.0.checked_add(entries.len() as u64);
    if entries.is_empty() || end.is_none() {
        Err(garbled("batch of no entries, or of more than there are numbers"))
    } else {
        Ok(Batch { prev, first, entries })
    }
}

/// Reads `v <from> <to or *> <length>\n<data>` as often as it comes.
fn volatiles(text: &[u8]) -> Result<Vec<Volatile>, LogError> {
    let (mut reader, mut volatiles) = (Reader(text), Vec::new());
    while !reader.0.is_empty() {
        let mut head = reader.line()?;
        head.expect("v")?;
        let (from, to) = (head.parse()?, head.optional("*")?);
        volatiles.push(Volatile { from, to, data: reader.payload(&mut head)? });
    }
    Ok(volatiles)
}

/// Reads `<kind> <fields …> <length>\n<payload>`; the kinds are those of `join.lua` and its siblings.
fn entry(reader: &mut Reader<'_>) -> Result<Entry, LogError> {
    let mut head = reader.line()?;
    match head.word()? {
        kind @ ("s" | "S") => {
            let (from, to, mid) = (head.parse()?, head.optional("*")?, Mid(head.parse()?));
            let trace = if kind == "S" { Some(Box::new(head.parse()?)) } else { None };
            Ok(Entry::Signal { from, to, mid, data: reader.payload(&mut head)?, trace })
        }
        "t" => {
            let to = head.optional("*")?;
            Ok(Entry::Announced { to, data: reader.payload(&mut head)? })
        }
        "u" => {
            let (peer, mid) = (head.parse()?, Mid(head.parse()?));
            Ok(Entry::Updated { peer, mid, meta: reader.payload(&mut head)? })
        }
        "j" => joined_entry(head, reader),
        "a" => {
            let (peer, ago) = (head.parse()?, Duration::from_micros(head.parse()?));
            reader.bytes(&mut head)?;
            Ok(Entry::Away { peer, ago })
        }
        "r" => {
            let peer = head.parse()?;
            reader.bytes(&mut head)?;
            Ok(Entry::Back { peer })
        }
        "z" => Ok(Entry::Reset { roster: survivors(reader.bytes(&mut head)?)? }),
        "l" => {
            let (peer, reason) = (head.parse()?, leave_reason(head.word()?)?);
            reader.bytes(&mut head)?;
            Ok(Entry::Left { peer, reason })
        }
        other => Err(garbled(format!("entry {other:?}"))),
    }
}

fn joined_entry(mut head: Words<'_>, reader: &mut Reader<'_>) -> Result<Entry, LogError> {
    let (peer, n, node) = (head.parse()?, head.parse()?, head.parse()?);
    let resumed = head.word()? == "resume";
    let user = head.optional("~")?;
    let text = reader.bytes(&mut head)?;
    let meta = if text.is_empty() { None } else { Some(payload(text.to_owned())?) };
    Ok(Entry::Joined { peer, n, node, resumed, user, meta })
}

/// One line of the roster of a reset, as `takeover.lua` writes it.
#[derive(serde::Deserialize)]
struct SurvivorLine {
    id: PeerId,
    node: NodeId,
    n: u64,
    #[serde(deserialize_with = "encoded_user")]
    user: Option<Subject>,
    away: Option<u64>,
    generation: Seq,
    mid: Mid,
    meta: Box<RawValue>,
}

/// Reads a subject as the members' lines hold it: encoded, so that Lua need not quote it.
fn encoded_user<'de, D: Deserializer<'de>>(line: D) -> Result<Option<Subject>, D::Error> {
    let encoded = Option::<String>::deserialize(line)?;
    encoded.map(|encoded| encoded.parse().map_err(de::Error::custom)).transpose()
}

fn survivors(text: &str) -> Result<Vec<ResetMember>, LogError> {
    let lines: Vec<SurvivorLine> = serde_json::from_str(text).map_err(garbled)?;
    let survivor = |line: SurvivorLine| ResetMember {
        line: RosterMember {
            peer: line.id,
            node: line.node,
            n: line.n,
            user: line.user,
            away: line.away.map(Duration::from_micros),
            meta: line.meta.into(),
        },
        generation: line.generation,
        mid: line.mid,
    };
    Ok(lines.into_iter().map(survivor).collect())
}

fn leave_reason(word: &str) -> Result<LeaveReason, LogError> {
    match word {
        "left" => Ok(LeaveReason::Left),
        "timeout" => Ok(LeaveReason::Timeout),
        "kicked" => Ok(LeaveReason::Kicked),
        other => Err(garbled(format!("reason {other:?}"))),
    }
}

/// Takes head lines and payloads off the front of a batch.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a str, LogError> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or_else(|| garbled("end of a batch"))?;
        self.0 = rest;
        std::str::from_utf8(taken).map_err(|_| garbled("bytes that are not UTF-8"))
    }

    fn line(&mut self) -> Result<Words<'a>, LogError> {
        let end = self
            .0
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| garbled("end of a batch"))?;
        let line = self.take(end)?;
        self.take(1)?;
        Ok(Words(line.split(' ')))
    }

    fn bytes(&mut self, head: &mut Words<'_>) -> Result<&'a str, LogError> {
        self.take(head.parse()?)
    }

    fn payload(&mut self, head: &mut Words<'_>) -> Result<Payload, LogError> {
        payload(self.bytes(head)?.to_owned())
    }
}

/// The words of a head line.
struct Words<'a>(std::str::Split<'a, char>);

impl<'a> Words<'a> {
    fn word(&mut self) -> Result<&'a str, LogError> {
        self.0.next().ok_or_else(|| garbled("end of a line"))
    }

    fn expect(&mut self, word: &str) -> Result<(), LogError> {
        let found = self.word()?;
        if found == word { Ok(()) } else { Err(garbled(format!("{found:?}"))) }
    }

    fn parse<T: FromStr>(&mut self) -> Result<T, LogError> {
        let word = self.word()?;
        word.parse().map_err(|_| garbled(format!("{word:?}")))
    }

    fn optional<T: FromStr>(&mut self, none: &str) -> Result<Option<T>, LogError> {
        match self.word()? {
            word if word == none => Ok(None),
            word => word.parse().map(Some).map_err(|_| garbled(format!("{word:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_batch_is_read_with_its_numbers() {
        let text = b"b 7 1795366362000042 2\ns p_a * 3 2\n{}a p_b 0 0\n";
        let batch = batch(text).unwrap();
        assert_eq!((batch.prev, batch.last()), (Seq(7), Seq(1_795_366_362_000_043)));
        assert!(matches!(&batch.entries[0], Entry::Signal { to: None, mid: Mid(3), .. }));
        assert!(matches!(&batch.entries[1], Entry::Away { peer, .. } if peer.as_str() == "p_b"));
    }

    #[test]
    fn a_batch_ends_before_the_last_number_there_is() {
        let entries = "a p_b 0 0\na p_b 0 0\n";
        assert!(batch(format!("b 0 {} 2\n{entries}", u64::MAX - 2).as_bytes()).is_ok());
        assert!(batch(format!("b 0 {} 2\n{entries}", u64::MAX - 1).as_bytes()).is_err());
    }

    #[test]
    fn a_payload_may_hold_line_breaks() {
        let text = b"b 0 5 1\ns p_a p_b 1 7\n{\n\"a\"\n:";
        assert!(batch(text).is_err());
        let text = b"b 0 5 1\nu p_a 1 9\n{\"a\"\n:\n1}";
        assert!(batch(text).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_on_a_channel_make_the_reader_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = event(&text);
        }

        #[test]
        fn no_lying_length_makes_the_reader_panic(count in any::<u64>(), length in any::<u64>()) {
            let _ = event(format!("b 0 1 {count}\ns p_a * 1 {length}\n{{}}").as_bytes());
        }
    }
}
