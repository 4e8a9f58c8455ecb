//! Names that parse or do not exist: whoever holds one need not check it again.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::id_error::IdError;
use crate::limits;
use crate::room_tag::RoomTag;
use crate::subject::Subject;

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn is_base64url(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn check(
    what: &'static str,
    text: &str,
    max: usize,
    expected: &'static str,
    (allowed, alphabet): (fn(char) -> bool, &'static str),
) -> Result<(), IdError> {
    if let Some((at, character)) = text.char_indices().find(|(_, c)| !allowed(*c)) {
        return Err(IdError::Character { what, character, at, alphabet });
    }
    if text.is_empty() || text.len() > max {
        return Err(IdError::Length { what, length: text.len(), expected });
    }
    Ok(())
}

const NAME: (fn(char) -> bool, &str) = (is_name, "A–Z a–z 0–9 . _ -");
const BASE64URL: (fn(char) -> bool, &str) = (is_base64url, "A–Z a–z 0–9 _ -");

/// Reads a JSON string through `FromStr`, without an allocation of its own.
struct Parsing<T>(PhantomData<T>);

impl<T: FromStr<Err = IdError>> Visitor<'_> for Parsing<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Makes a newtype over shared text whose only constructor from outside is its parser.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let parse: fn(&str) -> Result<(), IdError> = $parse;
                parse(text).map(|()| Self(text.into()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Parsing(PhantomData))
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

identifier! {
    /// Names one room: 1–64 of `A–Z a–z 0–9 . _ -`.
    ///
    /// The alphabet is what a URL path segment, a Redis key, a channel and a log field all carry
    /// unescaped, so that no layer ever has to quote a room.
    RoomId, |text| check("room name", text, limits::ROOM_CHARS, "1 to 64", NAME)
}

impl RoomId {
    /// Names the room of a dialect: its prefix and 128 bits of the SHA-256 of prefix and name, base64url.
    ///
    /// A hash, since names of others are any text of any length. No text parses to such an id, since `~` is not of the
    /// alphabet, so neither a client of `signal.v1` nor a back end can name the room.
    #[must_use]
    pub fn of_dialect(tag: RoomTag, name: &str) -> Self {
        Self::tagged(tag, name)
    }

    /// Names the inbox of a user.
    #[must_use]
    pub fn inbox(user: &Subject) -> Self {
        Self::tagged(RoomTag::Inbox, user.as_str())
    }

    /// Names the channel of a node.
    #[must_use]
    pub fn of_node(node: &NodeId) -> Self {
        Self::tagged(RoomTag::Node, node.as_str())
    }

    /// Names the room of a call that names none. Nobody but these two can make a call with it.
    #[must_use]
    pub fn of_call(from: &Subject, to: &Subject, call: &CallId) -> Self {
        // Encoded, so that none has a blank.
        let names = [from.to_string(), to.to_string(), call.to_string()].join(" ");
        let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(names)[..16]);
        Self(format!("call.{hash}").into())
    }

    /// Reads a name that our own storage holds: of any room, also of those that no text parses to.
    #[must_use]
    pub fn stored(name: &str) -> Option<Self> {
        let tagged = RoomTag::ALL.iter().find_map(|tag| name.strip_prefix(tag.prefix()));
        let Some(hash) = tagged else { return name.parse().ok() };
        let is_hash = check("room name", hash, 22, "22 after its tag", BASE64URL).is_ok();
        is_hash.then(|| Self(name.into()))
    }

    fn tagged(tag: RoomTag, name: &str) -> Self {
        let digest = Sha256::new().chain_update(tag.prefix()).chain_update(name).finalize();
        let hash = URL_SAFE_NO_PAD.encode(&digest[..16]);
        Self(format!("{}{hash}", tag.prefix()).into())
    }

    /// Returns the tag of a room that no client can name; `None`: a room of `signal.v1`.
    #[must_use]
    pub fn tag(&self) -> Option<RoomTag> {
        RoomTag::ALL.into_iter().find(|tag| self.0.starts_with(tag.prefix()))
    }
}

identifier! {
    /// Names one member of a room: `p_` and 128 bits of the SHA-256 of its [`PeerKey`], base64url.
    PeerId, |text| {
        let rest = text
            .strip_prefix("p_")
            .ok_or(IdError::Prefix { what: "peer id", prefix: "p_" })?;
        check("peer id", rest, 22, "1 to 22 after \"p_\"", BASE64URL)
    }
}

identifier! {
    /// Names one call: 1–64 of `A–Z a–z 0–9 . _ -`, chosen by its caller at random.
    CallId, |text| check("call", text, limits::CALL_CHARS, "1 to 64", NAME)
}

identifier! {
    /// Names one running node: `n_` and up to 62 of `A–Z a–z 0–9 . _ -`; new at every start.
    NodeId, |text| {
        let rest = text
            .strip_prefix("n_")
            .ok_or(IdError::Prefix { what: "node id", prefix: "n_" })?;
        check("node id", rest, 62, "1 to 62 after \"n_\"", NAME)
    }
}

/// A member's secret, chosen by the client: 128 random bits as 22 characters of base64url.
///
/// The key entitles its holder to take the member over, so it has no `Display`, and `Debug` hides it.
/// Redis holds only [`PeerKey::hash`].
#[derive(Clone, PartialEq, Eq)]
pub struct PeerKey {
    peer: PeerId,
    hash: Arc<str>,
}

impl PeerKey {
    /// Returns the id of the member that this key is for.
    #[must_use]
    pub fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// Returns the SHA-256 of the key in base64url, 43 characters: what may be stored.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

impl FromStr for PeerKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        check("key", text, limits::KEY_CHARS, "22", BASE64URL)?;
        if text.len() != limits::KEY_CHARS {
            return Err(IdError::Length { what: "key", length: text.len(), expected: "22" });
        }
        let digest = Sha256::digest(text.as_bytes());
        let peer = PeerId(format!("p_{}", URL_SAFE_NO_PAD.encode(&digest[..16])).into());
        Ok(Self { peer, hash: URL_SAFE_NO_PAD.encode(digest).into() })
    }
}

impl<'de> Deserialize<'de> for PeerKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsing(PhantomData))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey(of {})", self.peer)
    }
}

/// Makes a newtype over `u64` that orders and prints as the number it is.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The place of an entry in its room's log: larger than every earlier one, below 2^53, so that
    /// JavaScript holds it exactly. It is near Redis's clock in µs, but nobody may read it as time.
    Seq
}

number! {
    /// A member's own count of its kept signals and updates in one room: 1, 2, 3 … without holes.
    Mid
}

impl Mid {
    /// Returns the number the member's next message has to carry.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_name_with_a_slash_is_refused_and_the_place_named() {
        let error = "demo/1".parse::<RoomId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "room name has '/' at byte 4; only A–Z a–z 0–9 . _ - may occur"
        );
    }

    #[test]
    fn a_room_name_has_one_to_64_characters() {
        assert!("".parse::<RoomId>().is_err());
        assert!("a".repeat(64).parse::<RoomId>().is_ok());
        assert!("a".repeat(65).parse::<RoomId>().is_err());
    }

    #[test]
    fn the_peer_id_is_derived_from_the_sha256_of_the_key() {
        // printf q83vEjRWeJCrze8SNFZ4kA | sha256sum, first 16 bytes in base64url
        let key: PeerKey = "q83vEjRWeJCrze8SNFZ4kA".parse().unwrap();
        assert_eq!(key.peer().as_str(), "p_RZiseU6qXKAcEML9utEZlg");
        assert_eq!(key.hash().len(), 43);
        assert!(key.hash().starts_with("RZiseU6qXKAcEML9utEZl"));
    }

    #[test]
    fn a_key_is_22_characters_and_never_printed() {
        assert!("short".parse::<PeerKey>().is_err());
        assert!("q83vEjRWeJCrze8SNFZ4k+".parse::<PeerKey>().is_err());
        let key: PeerKey = "q83vEjRWeJCrze8SNFZ4kA".parse().unwrap();
        assert!(!format!("{key:?}").contains("q83v"));
    }

    #[test]
    fn a_room_of_a_dialect_has_a_name_that_no_text_parses_to() {
        let topic = RoomId::of_dialect(RoomTag::Topic, "notes");
        // printf '~y.notes' | openssl dgst -sha256 -binary | head -c 16 | base64, in the alphabet for URLs
        assert_eq!(topic.as_str(), "~y.-5E85tZaT3gP3QEYxnKZpg");
        assert_eq!(topic.tag(), Some(RoomTag::Topic));
        assert!(topic.as_str().parse::<RoomId>().is_err());
        assert_ne!(topic, RoomId::of_dialect(RoomTag::PeerJs, "notes"));
        assert_eq!("notes".parse::<RoomId>().unwrap().tag(), None);
    }

    #[test]
    fn the_inbox_of_a_user_is_no_room_of_a_dialect() {
        let inbox = RoomId::inbox(&Subject::new("notes").unwrap());
        assert_eq!(inbox.tag(), Some(RoomTag::Inbox));
        assert!(inbox.as_str().parse::<RoomId>().is_err());
        assert_ne!(inbox, RoomId::inbox(&Subject::new("Notes").unwrap()));
    }

    #[test]
    fn a_name_from_storage_is_that_of_any_room_and_no_other_text() {
        let inbox = RoomId::inbox(&Subject::new("notes").unwrap());
        for name in ["demo", inbox.as_str(), "~y.-5E85tZaT3gP3QEYxnKZpg"] {
            assert_eq!(RoomId::stored(name).unwrap().as_str(), name);
        }
        for name in ["", "~u.", "~u.a/b", "~u.-5E85tZaT3gP3QEYxnKZpg0", "~q.abc", "a b"] {
            assert_eq!(RoomId::stored(name), None, "{name}");
        }
    }

    #[test]
    fn the_room_of_a_call_is_one_of_its_two_users_and_parses() {
        let [ana, bo] = ["ana", "bo"].map(|name| Subject::new(name).unwrap());
        let call: CallId = "c1".parse().unwrap();
        let room = RoomId::of_call(&ana, &bo, &call);
        assert_eq!(room.as_str().parse(), Ok(room.clone()));
        assert_ne!(room, RoomId::of_call(&bo, &ana, &call));
        assert_ne!(room, RoomId::of_call(&ana, &bo, &"c2".parse().unwrap()));
    }

    #[test]
    fn a_peer_id_has_its_prefix() {
        assert_eq!(
            "RZiseU6q".parse::<PeerId>().unwrap_err().to_string(),
            "peer id must begin with \"p_\""
        );
    }
}
