//! A client, as far as it keeps what it was sent, and what must hold of that on each socket.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use signal_node::log::SocketId;
use signal_node::room::Outbox;
use signal_protocol::{PeerKey, Seq};

/// One socket of a client.
pub(crate) struct Socket {
    pub(crate) client: usize,
    pub(crate) node: usize,
    pub(crate) id: SocketId,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) asked: Option<Seq>,
    pub(crate) is_joined: bool,
    pub(crate) last: Seq,
}

pub(crate) struct Client {
    pub(crate) key: PeerKey,
    pub(crate) attempt: u64,
    pub(crate) position: Option<Seq>,
    /// Everything behind this was promised to the client.
    pub(crate) since: Seq,
    pub(crate) got: BTreeSet<Seq>,
    pub(crate) next: u64,
}

impl Client {
    /// A client that was never in the room.
    pub(crate) fn new(letter: &str) -> Self {
        Self {
            key: letter.repeat(22).parse().expect("a key"),
            attempt: 0,
            position: None,
            since: Seq(0),
            got: BTreeSet::new(),
            next: 1,
        }
    }

    /// Takes in what one of its sockets was sent.
    pub(crate) fn take(&mut self, socket: &mut Socket, frame: &Value) {
        let kind = frame["type"].as_str().expect("a type");
        let seq = frame["seq"].as_u64().map(Seq);
        match (kind, seq) {
            ("joined", Some(seq)) => {
                self.next = frame["mid"].as_u64().expect("a mid") + 1;
                if frame["recovery"] != "replay" {
                    (self.since, self.got) = (seq, BTreeSet::new());
                }
                (self.position, socket.last) = (Some(seq), seq);
            }
            ("reset", Some(seq)) => {
                (self.since, self.got) = (seq, BTreeSet::new());
                (self.position, socket.last) = (Some(seq), seq);
            }
            ("ack", Some(seq)) => self.position = self.position.max(Some(seq)),
            ("error", None) => {
                self.next = frame["expected"].as_u64().unwrap_or(self.next);
            }
            (_, Some(seq)) => {
                assert!(socket.is_joined || socket.asked.is_some(), "{kind} before joined");
                assert!(seq > socket.last, "{seq} after {} on one socket", socket.last);
                socket.last = seq;
                if Some(seq) > self.position {
                    self.position = Some(seq);
                    if kind == "signal" {
                        assert!(self.got.insert(seq), "{seq} twice");
                    }
                }
            }
            ("signal", None) => assert!(socket.is_joined, "a volatile signal before joined"),
            _ => {}
        }
    }
}
