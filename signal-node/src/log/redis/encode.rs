//! Steps as script arguments, and what is told without a script.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use signal_protocol::{CallId, Seq};

use super::publishing::Publishing;
use crate::log::{
    CallStep, Claim, EventScope, Join, Judgement, Op, Payload, Record, Restored, Retention, Ring,
    Silent, Volatile,
};

/// Which events a call stores, and how long they are kept.
#[derive(Clone, Copy)]
pub(super) struct StoredEvents {
    pub(super) scope: EventScope,
    pub(super) keep: Duration,
}

/// The arguments of one call, in the order that the scripts document.
pub(super) struct Args<'a> {
    values: Vec<Value>,
    retention: &'a Retention,
}

impl<'a> Args<'a> {
    pub(super) fn new(
        publishing: Publishing,
        seen: Seq,
        (channel, retention): (String, &'a Retention),
    ) -> Self {
        let publish = Value::from_static_str(publishing.command());
        let mut args = Self { values: vec![publish], retention };
        args.text(seen).text(channel).text(retention.room.as_millis());
        args
    }

    /// Says which events are stored, before any step.
    pub(super) fn events(&mut self, stored: Option<StoredEvents>) {
        match stored {
            None => self.name("~").name("0"),
            Some(StoredEvents { scope: EventScope::Room, keep }) => {
                self.name("room").text(keep.as_millis())
            }
            Some(StoredEvents { scope: EventScope::Calls, keep }) => {
                self.name("calls").text(keep.as_millis())
            }
        };
    }

    pub(super) fn into_values(self) -> Vec<Value> {
        self.values
    }

    pub(super) fn push(&mut self, op: &Op) {
        match op {
            Op::Join(join) => self.join(join),
            Op::Signal { by, mid, to, data, span } => {
                self.claim("signal", by).text(mid).text(to.as_ref().map_or("*", |to| to.as_str()));
                self.optional(span.as_ref().and_then(|span| span.parent())).payload(data);
            }
            Op::Update { by, mid, meta } => {
                self.claim("update", by).text(mid).payload(meta);
            }
            Op::Refuse { by, mid, code } => {
                self.claim("refuse", by).text(mid).text(code.name());
            }
            Op::Leave { by } => {
                self.claim("leave", by);
            }
            Op::Detach { by } => {
                self.claim("detach", by);
            }
            Op::Kick { peer, ban } => {
                self.name("kick").text(peer).micros(*ban);
            }
            Op::Expire { grace, judgement } => {
                self.name("expire").micros(*grace).proof(judgement);
            }
            Op::Suspect { grace, judgement } => {
                self.name("suspect").silent(&judgement.silent).micros(*grace).proof(judgement);
            }
            Op::Reclaim { by } => {
                self.claim("reclaim", by);
            }
            Op::Restore(restored) => self.restore(restored),
            Op::Reset => {
                self.name("reset");
            }
            Op::Configure { capacity, locked } => {
                self.name("configure").optional(*capacity).optional(locked.map(u8::from));
            }
            Op::Advance { from } => {
                self.name("advance").text(from);
            }
            Op::Announce { key, to, data } => {
                self.name("announce").text(to.as_ref().map_or("*", |to| to.as_str()));
                self.optional(key.as_ref()).payload(data);
            }
            Op::Post(post) => {
                self.name("post").text(post.from).text(post.count).silent(&post.judgement.silent);
                self.micros(post.grace).proof(&post.judgement).payload(&post.data);
            }
            Op::Ring(ring) => self.ring(ring),
            Op::StepCall { call, step } => self.step_call(call, step),
            Op::Calls => {
                self.name("calls");
            }
            Op::Inspect => {
                self.name("look");
            }
            Op::Maintain => self.maintain(),
        }
    }

    fn step_call(&mut self, call: &CallId, step: &CallStep) {
        self.name("answer").text(call);
        match step {
            // The reason is not used.
            CallStep::Accept(device) => self.name("accept").text(device).name("~"),
            CallStep::Decline(device, end) => self.name("decline").text(device).name(end.name()),
            CallStep::Cancel(from, end) => self.name("cancel").text(from).name(end.name()),
        };
    }

    fn join(&mut self, join: &Join) {
        self.name("join")
            .text(&join.peer)
            .text(&join.key_hash)
            .text(join.attempt)
            .text(join.socket);
        self.text(&join.node).optional(join.user.as_ref()).text(join.capacity);
        self.optional(join.token_capacity).text(join.per_subject).optional(join.position);
        self.micros(join.grace).text(u8::from(join.expires)).silent(&join.judgement.silent);
        self.proof(&join.judgement).text(u8::from(join.waits));
        self.optional(join.asked_at.map(|time| time.as_micros()));
        self.payload(&join.meta)
            .text(u8::from(join.keeps_meta))
            .optional(join.seals_at)
            .optional(join.settled);
    }

    fn ring(&mut self, ring: &Ring) {
        let Ring { call, from, to, room, timeout, data } = ring;
        self.name("ring").text(call).text(from).text(to).text(room).micros(*timeout);
        match data {
            Some(data) => self.payload(data),
            None => self.name(""),
        };
    }

    fn restore(&mut self, restored: &Restored) {
        let Restored { by, socket, n, mid, record } = restored;
        let Record { joined, origin, base, recovery, .. } = record;
        self.claim("restore", by).text(mid).text(n).text(&record.node).text(socket);
        self.text(record.attempt).optional(record.user.as_ref()).text(&record.key_hash);
        self.text(joined).text(base).text(recovery.name()).text(origin);
        self.payload(&record.meta);
    }

    /// Writes `<node>=<µs ago>,…`.
    fn silent(&mut self, silent: &[Silent]) -> &mut Self {
        let nodes = silent.iter().map(|s| format!("{}={}", s.node, s.ago.as_micros()));
        self.text(nodes.collect::<Vec<_>>().join(","))
    }

    /// Writes `<as of µs> <valid for µs>`.
    fn proof(&mut self, judgement: &Judgement) -> &mut Self {
        self.micros(judgement.as_of).micros(judgement.valid_for)
    }

    fn maintain(&mut self) {
        let Retention { age, length, bytes, .. } = *self.retention;
        self.name("tend").micros(age).text(length).text(bytes);
    }

    fn name(&mut self, name: &'static str) -> &mut Self {
        self.values.push(Value::from_static_str(name));
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "numbers and references both read well here")]
    fn text(&mut self, value: impl ToString) -> &mut Self {
        self.values.push(Value::from(value.to_string()));
        self
    }

    fn optional(&mut self, value: Option<impl ToString>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.name("~"),
        }
    }

    fn micros(&mut self, duration: Duration) -> &mut Self {
        self.text(duration.as_micros())
    }

    fn payload(&mut self, payload: &Payload) -> &mut Self {
        self.values.push(Value::Bytes(Bytes::copy_from_slice(payload.get().as_bytes())));
        self
    }

    fn claim(&mut self, name: &'static str, by: &Claim) -> &mut Self {
        self.name(name).text(&by.peer).text(by.generation)
    }
}

/// Writes `v <from> <to or *> <length>\n<data>` for each.
pub(super) fn volatiles(volatiles: &[Volatile]) -> String {
    let mut text = String::new();
    for Volatile { from, to, data } in volatiles {
        let (to, data) = (to.as_ref().map_or("*", |to| to.as_str()), data.get());
        let _ = write!(text, "v {from} {to} {}\n{data}", data.len());
    }
    text
}
