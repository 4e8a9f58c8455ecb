//! Whether users can be reached, over which devices, and how they are.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::fields::{Attempt, Meta, RequestId};
use crate::id_error::IdError;
use crate::ids::{PeerId, PeerKey};
use crate::limits;
use crate::subject::Subject;

/// How a device is: `online`, `away`, or a text of its own of 1 to [`limits::STATE_BYTES`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PresenceState(Arc<str>);

impl PresenceState {
    /// A device that says nothing else.
    pub const ONLINE: &str = "online";
    /// Nobody is at the device.
    pub const AWAY: &str = "away";
    /// A user without a device. No device can say so of itself.
    pub const OFFLINE: &str = "offline";

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for PresenceState {
    fn default() -> Self {
        Self(Self::ONLINE.into())
    }
}

impl FromStr for PresenceState {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (what, bytes, max) = ("state", text.len(), limits::STATE_BYTES);
        if text.is_empty() || bytes > max {
            return Err(IdError::Bytes { what, bytes, max });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for PresenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PresenceState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == Self::OFFLINE {
            return Err(D::Error::custom(
                "a device is not offline in its state: send offline instead",
            ));
        }
        text.parse().map_err(D::Error::custom)
    }
}

/// `online`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Online<'a> {
    pub id: Option<RequestId>,
    /// The secret of the device, as the key of a member.
    pub device: PeerKey,
    /// Counts the times that the device has said `online`, from 1.
    #[serde(rename = "try")]
    pub attempt: Attempt,
    /// How it is.
    #[serde(default)]
    pub state: PresenceState,
    /// What it tells about itself.
    #[serde(borrow)]
    pub meta: Option<Meta<'a>>,
    /// Whether a device that is still online keeps the state and `meta` that it has.
    #[serde(default)]
    pub resume: bool,
}

/// `watch` and `unwatch`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Users {
    pub id: Option<RequestId>,
    /// 1 to [`limits::USERS_PER_MESSAGE`] subjects.
    #[serde(deserialize_with = "few_users")]
    pub users: Vec<Subject>,
}

fn few_users<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Subject>, D::Error> {
    let users = Vec::<Subject>::deserialize(deserializer)?;
    let most = limits::USERS_PER_MESSAGE;
    if users.is_empty() || users.len() > most {
        let count = users.len();
        return Err(D::Error::custom(format_args!(
            "users has {count} users; it must have 1 to {most}"
        )));
    }
    Ok(users)
}

/// One device of a user, in `presence`.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Serialize)]
pub struct DeviceView<'a> {
    pub id: &'a PeerId,
    /// How it is.
    pub state: &'a str,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// What it tells about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use crate::client::{ClientMessage, parse};
    use crate::codes::ErrorCode;

    fn online(state: &str) -> String {
        let device = "k".repeat(22);
        format!(r#"{{"type":"online","id":7,"device":"{device}","try":1,"state":{state}}}"#)
    }

    #[test]
    fn a_state_is_a_text_of_140_bytes_and_never_offline() {
        let longest = format!("\"{}\"", "é".repeat(70));
        assert!(matches!(parse(&online(&longest)), Ok(ClientMessage::Online(_))));
        for (state, says) in [
            (format!("\"{}\"", "x".repeat(141)), "state has 141 bytes; it must have 1 to 140"),
            ("\"\"".to_owned(), "state has 0 bytes"),
            ("\"offline\"".to_owned(), "send offline instead"),
            ("7".to_owned(), "expected a string"),
        ] {
            let fault = parse(&online(&state)).unwrap_err();
            assert_eq!((fault.code, fault.id), (ErrorCode::BadRequest, Some(7)), "{state}");
            assert!(fault.message.contains(says), "{}", fault.message);
        }
    }

    #[test]
    fn a_message_names_one_to_a_hundred_users() {
        let watch = |users: usize| {
            let users = vec!["\"bo\""; users].join(",");
            format!(r#"{{"type":"watch","id":7,"users":[{users}]}}"#)
        };
        assert!(
            matches!(parse(&watch(100)), Ok(ClientMessage::Watch(watch)) if watch.users.len() == 100)
        );
        for users in [0, 101] {
            let fault = parse(&watch(users)).unwrap_err();
            assert_eq!((fault.code, fault.id), (ErrorCode::BadRequest, Some(7)));
            assert!(fault.message.contains("it must have 1 to 100"), "{}", fault.message);
        }
        let nobody = r#"{"type":"watch","users":[""]}"#;
        assert!(parse(nobody).unwrap_err().message.contains("subject has 0 bytes"));
    }
}
