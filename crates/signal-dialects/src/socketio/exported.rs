//! A client on its way to another node: who it is, where it stands, and what it said that is not settled.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client::Protocol;

/// A connected client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExportedClient {
    /// The id of its engine session, by which a client of protocol 4 is known.
    pub(super) sid: Option<String>,
    pub(super) secret: String,
    pub(super) room: Option<ExportedRoom>,
}

/// The room that it is in, or asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExportedRoom {
    pub(super) mark: String,
    /// Its signals that are not known to be settled, and how many are before them.
    pub(super) signals: Vec<Box<RawValue>>,
    pub(super) settled: u64,
}

impl ExportedClient {
    pub(super) fn protocol(&self) -> Protocol {
        let four = self.sid.clone().map(|sid| Protocol::Four { sid });
        four.unwrap_or(Protocol::Five)
    }
}
