//! What Redis holds and publishes, back in our types. Nothing in it is trusted to be well-formed.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize as _, Deserializer, de};
use serde_json::value::RawValue;
use signal_protocol::{LeaveReason, Mid, NodeId, PeerId, Seq, Subject};
use tracing::warn;

use super::call_lines::call_view;
use super::words::{Words, garbled, micros, payload};
use crate::log::{Batch, Entry, FeedEvent, LogError, Payload, ResetMember, RosterMember, Volatile};

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
    if count > text.len() {
        return Err(garbled(format!("batch of {count} entries in {} bytes", text.len())));
    }
    for _ in 0..count {
        let Ok(entry) = entry(&mut reader) else { break };
        entries.push(entry);
    }
    // The entries that cannot be read have their numbers, so the room takes them for a loss. Without them there would be a
    // hole that no read fills.
    entries.resize(count, Entry::Unreadable);
    let end = first.0.checked_add(entries.len() as u64);
    if entries.is_empty() || end.is_none() {
        Err(garbled("batch of no entries, or of more than there are numbers"))
    } else {
        Ok(Batch { prev, first, entries })
    }
}

/// Reads an entry of the stream, whose id is the number of the last entry in it. One that cannot be read is a loss: as an
/// error, it would be read again for ever.
pub(super) fn stored_batch(id: &str, text: Option<&Bytes>) -> Result<Batch, LogError> {
    if let Some(batch) = text.and_then(|text| batch(text).ok()) {
        return Ok(batch);
    }
    let number = id.split('-').next().and_then(|number| number.parse().ok()).filter(|n| *n > 0);
    let number: u64 = number.ok_or_else(|| garbled(format!("entry {id:?}")))?;
    warn!(id, "an entry of a room's log cannot be read");
    Ok(Batch { prev: Seq(number - 1), first: Seq(number), entries: vec![Entry::Unreadable] })
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
            let (peer, ago) = (head.parse()?, micros(head.parse()?));
            reader.bytes(&mut head)?;
            Ok(Entry::Away { peer, ago })
        }
        "r" => {
            let peer = head.parse()?;
            reader.bytes(&mut head)?;
            Ok(Entry::Back { peer })
        }
        "c" => {
            let call = head.parse()?;
            let data = |head: &mut Words<'_>| reader.bytes(head).map(ToOwned::to_owned);
            call_view(call, &mut head, data).map(|view| Entry::Call(Box::new(view)))
        }
        "z" => Ok(Entry::Reset { roster: reset_members(reader.bytes(&mut head)?)? }),
        "l" => {
            let (peer, reason) = (head.parse()?, leave_reason(head.word()?)?);
            reader.bytes(&mut head)?;
            Ok(Entry::Left { peer, reason })
        }
        kind => {
            // Of a newer version. Every line ends with the length of what follows.
            let length = head.0.next_back().and_then(|word| word.parse().ok());
            reader.take(length.ok_or_else(|| garbled(format!("entry {kind:?}")))?)?;
            Ok(Entry::Unknown)
        }
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
struct ResetMemberLine {
    id: PeerId,
    node: NodeId,
    n: u64,
    #[serde(deserialize_with = "encoded_user")]
    user: Option<Subject>,
    away: Option<i64>,
    generation: Seq,
    mid: Mid,
    meta: Box<RawValue>,
}

/// Reads a subject as the members' lines hold it: encoded, so that Lua need not quote it.
fn encoded_user<'de, D: Deserializer<'de>>(line: D) -> Result<Option<Subject>, D::Error> {
    let encoded = Option::<String>::deserialize(line)?;
    encoded.map(|encoded| encoded.parse().map_err(de::Error::custom)).transpose()
}

fn reset_members(text: &str) -> Result<Vec<ResetMember>, LogError> {
    let lines: Vec<ResetMemberLine> = serde_json::from_str(text).map_err(garbled)?;
    let reset_member = |line: ResetMemberLine| ResetMember {
        line: RosterMember {
            peer: line.id,
            node: line.node,
            n: line.n,
            joined: line.generation,
            user: line.user,
            away: line.away.map(micros),
            meta: line.meta.into(),
        },
        generation: line.generation,
        mid: line.mid,
    };
    Ok(lines.into_iter().map(reset_member).collect())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        assert!(matches!(batch(text).unwrap().entries[..], [Entry::Unreadable]));
        let text = b"b 0 5 1\nu p_a 1 9\n{\"a\"\n:\n1}";
        assert!(batch(text).is_ok());
    }

    #[test]
    fn what_cannot_be_read_in_a_stream_is_a_loss_and_no_error() {
        for text in [None, Some(Bytes::from_static(b"what?"))] {
            let batch = stored_batch("42-0", text.as_ref()).unwrap();
            assert_eq!((batch.prev, batch.last()), (Seq(41), Seq(42)));
            assert!(matches!(batch.entries[..], [Entry::Unreadable]));
        }
        assert!(
            stored_batch("42-0", Some(&Bytes::from_static(b"b 7 41 2\na p_b 0 0\nr p_b 0\n")))
                .is_ok()
        );
    }

    #[test]
    fn an_entry_of_a_newer_version_is_skipped_and_an_unreadable_one_keeps_its_number() {
        let text = b"b 0 5 3\nq p_a what ever 2\n{}a p_b 0 0\na p_b\n";
        let entries = batch(text).unwrap().entries;
        assert!(
            matches!(&entries[..], [Entry::Unknown, Entry::Away { .. }, Entry::Unreadable]),
            "{entries:?}"
        );
    }

    /// A mark in the future made a number below zero, at which the whole batch could not be read.
    #[test]
    fn an_absence_that_begins_in_the_future_is_none_yet() {
        let batch = batch(b"b 0 5 1\na p_b -5 0\n").unwrap();
        assert!(matches!(&batch.entries[0], Entry::Away { ago, .. } if ago.is_zero()), "{batch:?}");
        let line = r#"[{"id":"p_b","node":"n_one","n":1,"user":null,"away":-5,"generation":7,"mid":0,"meta":{}}]"#;
        let roster = reset_members(line).unwrap();
        assert_eq!(roster[0].line.away, Some(Duration::ZERO));
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
