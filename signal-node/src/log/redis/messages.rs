//! Signals of one room that follow what is stored, as arguments of `messages.lua`: few, however many there are.

use std::fmt::Write as _;

use bytes::Bytes;
use fred::types::Value;
use signal_protocol::{Mid, PeerId, Seq};

use super::keys::Keys;
use crate::log::{Claim, Op, Outcome};

/// One sender of a call: its messages follow each other.
struct Sender<'a> {
    by: &'a Claim,
    first: Mid,
    last: Mid,
}

/// Signals of one call.
pub(super) struct Messages<'a> {
    senders: Vec<Sender<'a>>,
    receivers: Vec<&'a PeerId>,
    entries: String,
    count: usize,
}

/// What `messages.lua` is told of one room.
pub(super) struct RoomSignals {
    keys: [String; 2],
    args: Vec<Value>,
    bytes: usize,
}

impl<'a> Messages<'a> {
    /// Collects the steps; `None` if there are others than signals among them, or signals out of turn.
    pub(super) fn collect(ops: &'a [Op]) -> Option<Self> {
        let bytes = ops.iter().map(Op::bytes).sum();
        let (senders, receivers) = (Vec::new(), Vec::new());
        let entries = String::with_capacity(bytes);
        let mut messages = Self { senders, receivers, entries, count: ops.len() };
        for op in ops {
            let Op::Signal { by, mid, to, data, span } = op else { return None };
            messages.send(by, *mid)?;
            if let Some(to) = to {
                messages.receive(to);
            }
            let (to, text) = (to.as_ref().map_or("*", PeerId::as_str), data.get());
            let (peer, length) = (&by.peer, text.len());
            let _ = match span.as_ref().and_then(|span| span.parent()) {
                None => write!(messages.entries, "s {peer} {to} {mid} {length}\n{text}"),
                Some(trace) => {
                    write!(messages.entries, "S {peer} {to} {mid} {trace} {length}\n{text}")
                }
            };
        }
        Some(messages)
    }

    fn send(&mut self, by: &'a Claim, mid: Mid) -> Option<()> {
        match self.senders.iter_mut().find(|sender| sender.by.peer == by.peer) {
            None => self.senders.push(Sender { by, first: mid, last: mid }),
            Some(sender) if sender.by == by && sender.last.next() == mid => sender.last = mid,
            Some(_) => return None,
        }
        Some(())
    }

    /// A sender is known to be there by what has to stand in its field.
    fn receive(&mut self, to: &'a PeerId) {
        if !self.receivers.contains(&to) {
            self.receivers.push(to);
        }
    }

    /// Writes the arguments in the order that `messages.lua` documents.
    pub(super) fn of_room(self, keys: Keys, seen: Seq) -> RoomSignals {
        let Self { senders, receivers, entries, count } = self;
        let (bytes, text) = (entries.len(), |text: String| Value::from(text));
        let mut args = Vec::with_capacity(6 + 3 * senders.len() + receivers.len());
        args.extend([text(keys.channel), text(seen.to_string()), text(count.to_string())]);
        args.push(Value::Bytes(Bytes::from(entries)));
        args.extend([text(senders.len().to_string()), text(receivers.len().to_string())]);
        for Sender { by, first, last } in senders {
            let Claim { peer, generation } = by;
            args.push(text(format!("g:{peer}")));
            args.push(text(format!("{generation} {}", first.0.saturating_sub(1))));
            args.push(text(format!("{generation} {last}")));
        }
        args.extend(receivers.into_iter().map(|peer| text(format!("g:{peer}"))));
        RoomSignals { keys: [keys.hash, keys.stream], args, bytes }
    }
}

impl RoomSignals {
    /// The number of arguments.
    pub(super) fn len(&self) -> usize {
        self.args.len()
    }

    /// The length of the entries.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts them behind those of other rooms.
    pub(super) fn load(self, keys: &mut Vec<String>, args: &mut Vec<Value>) {
        keys.extend(self.keys);
        args.extend(self.args);
    }
}

/// Tells what became of signals whose first one got this number.
pub(super) fn outcomes(first: Seq, count: usize) -> Vec<Outcome> {
    (first.0..).take(count).map(|seq| Outcome::Appended(Seq(seq))).collect()
}
