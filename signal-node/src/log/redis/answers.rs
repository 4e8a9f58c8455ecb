//! What the scripts answer, back in our types. Nothing in it is trusted to be well-formed.

use std::str::FromStr;
use std::time::Duration;

use fred::types::Value;
use signal_protocol::{ErrorCode, Mid, PeerId, Recovery, Seq};

use super::call_lines::call_view;
use super::words::{Words, garbled, micros, payload};
use crate::log::{CallsView, JoinRefusal, Joined, LogError, Op, Outcome, RoomView, RosterMember};

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
    let kind = value.kind();
    if let Value::Array(values) = value {
        return Ok(values);
    }
    Err(garbled(format!("{kind:?} where an array belongs")))
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
        Ok(self.optional()?.map(micros))
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
        "more" => Ok(Outcome::More),
        "stale" => Ok(Outcome::Stale),
        "mending" => Ok(Outcome::Recovering),
        "posted" => fields.parse().map(Outcome::Posted),
        "number" => fields.parse().map(Outcome::Number),
        "head" => fields.seq().map(Outcome::Head),
        "calls" => calls(fields).map(|calls| Outcome::Calls(Box::new(calls))),
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
    let (seq, base, n, origin) = (fields.seq()?, fields.seq()?, fields.parse()?, fields.seq()?);
    let recovery = recovery(&fields.text()?)?;
    let mid = fields.parse().map(Mid)?;
    let refused = refusals(&fields.text()?);
    let me: PeerId = fields.parse()?;
    let mut roster = roster(fields)?;
    let own = roster.iter().position(|line| line.peer == me);
    let meta = roster.remove(own.ok_or_else(|| garbled("a roster without its member"))?).meta;
    // A repeated join is answered as the first one was: of a new member, with those before it.
    roster.retain(|other| seq != origin || other.n < n);
    Ok(Joined { seq, base, n, origin, recovery, mid, refused, meta, roster })
}

/// Reads ` <mid>:<code> …`, newest first. A code of a newer version is not told.
fn refusals(text: &str) -> Vec<(Mid, ErrorCode)> {
    let refusal = |text: &str| {
        let (mid, code) = text.split_once(':')?;
        Some((Mid(mid.parse().ok()?), ErrorCode::from_name(code)?))
    };
    let mut refusals: Vec<_> = text.split_whitespace().filter_map(refusal).collect();
    refusals.sort_unstable_by_key(|(mid, _)| *mid);
    refusals
}

fn room(fields: &mut Fields) -> Result<RoomView, LogError> {
    Ok(RoomView {
        head: fields.seq()?,
        capacity: fields.optional()?,
        locked: fields.text()? == "1",
        members: roster(fields)?,
    })
}

fn calls(fields: &mut Fields) -> Result<CallsView, LogError> {
    let (head, devices) = (fields.seq()?, fields.parse()?);
    let mut lines = Fields(array(fields.value()?)?.into_iter());
    let mut calls = Vec::with_capacity(lines.0.len() / 2);
    while lines.0.len() > 0 {
        let (call, line) = (lines.parse()?, lines.text()?);
        let (head, data) = line.split_once('\n').ok_or_else(|| garbled("end of a call"))?;
        calls.push(call_view(call, &mut Words(head.split(' ')), |_| Ok(data.to_owned()))?);
    }
    Ok(CallsView { head, devices, calls })
}

fn roster(fields: &mut Fields) -> Result<Vec<RosterMember>, LogError> {
    let now = fields.parse()?;
    let mut lines = Fields(array(fields.value()?)?.into_iter());
    let mut roster = Vec::with_capacity(lines.0.len() / 2);
    while lines.0.len() > 0 {
        roster.push(roster_member(lines.parse()?, &lines.text()?, now)?);
    }
    roster.sort_unstable_by(|a: &RosterMember, b| a.peer.cmp(&b.peer));
    Ok(roster)
}

fn recovery(word: &str) -> Result<Recovery, LogError> {
    Recovery::from_name(word).ok_or_else(|| garbled(format!("recovery {word:?}")))
}

/// Reads a member as `prelude.lua` describes it: `<n> <node> <socket> <try> <away> <user> <key hash> <joined> …\n<meta>`.
fn roster_member(peer: PeerId, line: &str, now: u64) -> Result<RosterMember, LogError> {
    let (head, meta) = line.split_once('\n').ok_or_else(|| garbled("end of a member"))?;
    let mut head = Words(head.split(' '));
    let (n, node) = (head.parse()?, head.parse()?);
    let (_socket, _attempt) = (head.word()?, head.word()?);
    let since: u64 = head.parse()?;
    let away = (since > 0).then(|| Duration::from_micros(now.saturating_sub(since)));
    let user = head.optional("~")?;
    let _key_hash = head.word()?;
    let (joined, meta) = (Seq(head.parse()?), payload(meta.to_owned())?);
    Ok(RosterMember { peer, node, n, joined, user, away, meta })
}
