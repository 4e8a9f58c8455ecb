//! What a client that does not speak `signal.v1` asks of the machine: its `hello`, its joins and its signals.

use serde_json::json;
use serde_json::value::to_raw_value;
use signal_dialects::{RoomJoin, RoomSignal};
use signal_protocol::client::Signal;
use signal_protocol::{ErrorCode, Mid, PeerKey, Seq};

use super::effect::Effect;
use super::identity::Identity;
use super::machine::Machine;
use super::requests::Refusal;
use crate::log::{Join, RoomProfile};

impl Machine {
    /// Joins a room of a dialect.
    pub(super) fn join_dialect(&mut self, join: RoomJoin) {
        let RoomJoin { room, name, key, seats, position, id } = join;
        let Some(identity) = self.identity().cloned() else { return };
        let Some(profile) = RoomProfile::of(&room) else { return };
        if let Err(refusal) = self.may_join_dialect(&identity, &name, &profile) {
            return self.answer(Some(id), refusal);
        }
        let key = key.unwrap_or_else(random_key);
        // An operator who looks at the room finds what its clients call it.
        let meta = to_raw_value(&json!({ "called": name })).expect("a text is JSON");
        let wish = Box::new(Join {
            capacity: seats.unwrap_or(profile.capacity),
            seals_at: seats,
            per_subject: profile.capacity,
            position: position.map(Seq),
            grace: profile.join_grace.min(self.settings.grace),
            ..self.new_join(&identity, &key, meta.into())
        });
        self.memberships.join(room.clone(), wish.peer.clone());
        self.effects.push_back(Effect::Join(room, wish, Some(id), None));
    }

    /// Sends a signal of a member to all others in its room.
    pub(super) fn signal_of_dialect(&mut self, signal: &RoomSignal) {
        let RoomSignal { room, mid, data } = signal;
        self.signal(Signal { mid: Mid(*mid), room: room.clone(), to: None, data });
    }

    fn may_join_dialect(
        &self,
        identity: &Identity,
        name: &str,
        profile: &RoomProfile,
    ) -> Result<(), Refusal> {
        if !identity.may_enter_named(name) {
            return Err((ErrorCode::Forbidden, "the token does not open this room".to_owned()));
        }
        let most = profile.rooms_per_connection;
        if self.memberships.len() >= most {
            let text = format!("a connection may be in {most} rooms at once");
            return Err((ErrorCode::LimitExceeded, text));
        }
        Ok(())
    }
}

/// Draws the key of a member that nobody takes over.
pub(crate) fn random_key() -> PeerKey {
    service_kit::random::token().parse().expect("16 random bytes in base64url are a key")
}
