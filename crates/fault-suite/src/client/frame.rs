//! The frames of `signal.v1` as a client reads and writes them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;

use crate::history::{LeaveReason, LeftReason, Recovery};

/// A member as it stands in rosters and in `peer_…`.
#[derive(Deserialize)]
pub(super) struct PeerView<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    pub(super) n: Option<u64>,
    pub(super) polite: Option<bool>,
    pub(super) away: Option<bool>,
}

/// `self` in `joined`.
#[derive(Deserialize)]
pub(super) struct Me {
    pub(super) n: u64,
}

/// What our clients put into `data`.
#[derive(Deserialize)]
pub(super) struct Payload<'a> {
    /// Who sent it, by its own account.
    #[serde(borrow)]
    pub(super) f: Cow<'a, str>,
    /// Its number.
    pub(super) k: u32,
}

/// What a node says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Frame<'a> {
    Welcome {
        ping: u64,
        limits: Limits,
    },
    Joined {
        id: Option<u64>,
        seq: u64,
        recovery: Recovery,
        mid: u64,
        #[serde(rename = "self")]
        me: Me,
        #[serde(borrow)]
        peers: Option<Vec<PeerView<'a>>>,
    },
    PeerJoined {
        seq: u64,
        #[serde(borrow)]
        peer: PeerView<'a>,
    },
    PeerUpdated {
        seq: u64,
        #[serde(borrow)]
        peer: PeerView<'a>,
    },
    PeerLeft {
        seq: u64,
        #[serde(borrow)]
        peer: Cow<'a, str>,
        reason: LeaveReason,
    },
    Signal {
        seq: Option<u64>,
        #[serde(borrow)]
        from: Cow<'a, str>,
        #[serde(borrow)]
        to: Option<Cow<'a, str>>,
        #[serde(borrow)]
        data: Payload<'a>,
    },
    Ack {
        mid: u64,
        seq: u64,
    },
    Left {
        reason: LeftReason,
    },
    Reset {
        seq: u64,
        mid: u64,
        #[serde(borrow)]
        peers: Vec<PeerView<'a>>,
    },
    Error(Failure<'a>),
    Goaway {
        after: u64,
    },
    Ok,
    Pong,
    #[serde(other)]
    Other,
}

/// `limits` in `welcome`.
#[derive(Deserialize)]
pub(super) struct Limits {
    pub(super) unacked: usize,
}

/// An `error`.
#[derive(Deserialize)]
pub(super) struct Failure<'a> {
    pub(super) id: Option<u64>,
    pub(super) mid: Option<u64>,
    #[serde(borrow)]
    pub(super) code: Cow<'a, str>,
    pub(super) retry: bool,
    pub(super) after: Option<u64>,
    pub(super) expected: Option<u64>,
}

pub(super) fn room_name(room: u32) -> String {
    format!("r{room}")
}

pub(super) fn join(id: u64, room: u32, key: &str, attempt: u64, seq: Option<u64>) -> String {
    let mut frame =
        json!({"type": "join", "id": id, "room": room_name(room), "key": key, "try": attempt});
    if let Some(seq) = seq {
        frame["seq"] = seq.into();
    }
    frame.to_string()
}

pub(super) fn leave(id: u64, room: u32) -> String {
    json!({"type": "leave", "id": id, "room": room_name(room)}).to_string()
}

pub(super) const PING: &str = r#"{"type":"ping"}"#;

/// What follows `{"type":"signal","mid":…,` in a signal.
pub(super) fn signal_rest(room: u32, to: Option<&str>, payload: &str) -> String {
    let to = to.map(|id| format!(r#""to":"{id}","#)).unwrap_or_default();
    format!(r#""room":"{}",{to}"data":{payload}}}"#, room_name(room))
}

pub(super) fn signal(mid: u64, rest: &str) -> String {
    format!(r#"{{"type":"signal","mid":{mid},{rest}"#)
}

pub(super) fn payload(from: &str, number: u32, ballast: usize) -> String {
    format!(r#"{{"f":"{from}","k":{number},"x":"{}"}}"#, "x".repeat(ballast))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every frame that a node may send parses, by the golden files of the protocol crate.
    #[test]
    fn all_golden_frames_of_the_server_parse() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../signal-protocol/wire");
        let mut read = 0;
        for file in walk(folder.as_ref()) {
            let text = std::fs::read_to_string(&file).unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            // What is in `data` is ours alone.
            if file.to_string_lossy().contains("server") && value["type"] != "signal" {
                serde_json::from_str::<Frame<'_>>(&text).expect(&text);
                read += 1;
            }
        }
        assert!(read > 10, "{read} frames in {folder}");
    }

    fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
    }
}
