//! What clients of matchbox say, and what they are told.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

/// One frame of a client, in the form that serde gives enums.
#[derive(Deserialize)]
pub(super) enum Request<'a> {
    /// The client lives.
    KeepAlive,
    /// For the client with this UUID.
    Signal {
        #[serde(borrow)]
        receiver: Cow<'a, str>,
        #[serde(borrow)]
        data: &'a RawValue,
    },
}

/// One frame for a client.
#[derive(Serialize)]
pub(super) enum Event<'a> {
    /// The UUID of the client: its first frame, and never said again, since a second one ends the client.
    IdAssigned(Uuid),
    /// Who has come, and is to be sent an offer.
    NewPeer(Uuid),
    /// Who is gone.
    PeerLeft(Uuid),
    /// A signal of another client.
    Signal { sender: Uuid, data: &'a RawValue },
}

impl Event<'_> {
    /// Writes the frame.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Writes the frame as what is posted.
    pub(super) fn to_raw(&self) -> Option<Box<RawValue>> {
        to_raw_value(self).ok()
    }
}
