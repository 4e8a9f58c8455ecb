//! The identity at the other end of a connection, and its rights.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use service_kit::tokens::{Claims, Right, TokenError, opens};
use signal_protocol::{CloseCode, ErrorCode, RoomId, SUBPROTOCOL, Subject};
use tokio::time::Instant;

use crate::log::Payload;

/// Who it is.
#[derive(Clone, Debug)]
pub enum Identity {
    /// Nobody in particular; may signal in any room, nothing more.
    Anonymous,
    /// The holder of a token.
    Holder(Arc<Rights>),
}

/// The rights of a token's holder: of its claims only those that a session still needs.
#[derive(Debug)]
pub struct Rights {
    subject: Subject,
    expires_at: Instant,
    /// The same moment in Unix seconds.
    ends: u64,
    /// The rooms it opens, as [`opens`] reads them.
    rooms: Box<[Box<str>]>,
    /// The users it may watch, as [`opens`] reads them.
    watch: Box<[Box<str>]>,
    /// The users it may call.
    call: Box<[Box<str>]>,
    may_signal: bool,
    may_moderate: bool,
    capacity: Option<u32>,
    /// The id of the token, if it has one (RFC 7519 §4.1.7).
    token_id: Option<Box<str>>,
    /// What it says about its holder.
    meta: Option<Box<Map<String, Value>>>,
}

/// What another node needs to go on with a session.
#[derive(Debug, Serialize, Deserialize)]
pub struct MovedSession {
    /// Who the client is.
    pub identity: MovedIdentity,
    /// What the dialect has exported.
    pub dialect: String,
}

/// An identity on its way to another node; nobody in particular without rights.
#[derive(Debug, Serialize, Deserialize)]
pub struct MovedIdentity(Option<MovedRights>);

/// The fields of [`Rights`], as other nodes read them.
#[derive(Debug, Serialize, Deserialize)]
struct MovedRights {
    subject: Subject,
    ends: u64,
    rooms: Box<[Box<str>]>,
    may_signal: bool,
    capacity: Option<u32>,
    token_id: Option<Box<str>>,
    meta: Option<Box<Map<String, Value>>>,
}

impl MovedIdentity {
    /// Returns the identity; `unix_now` and `now` are the same moment on two clocks. A client of a dialect neither watches, calls nor
    /// moderates, so those rights stay behind.
    #[must_use]
    pub fn arrived(self, unix_now: Duration, now: Instant) -> Identity {
        let Some(rights) = self.0 else { return Identity::Anonymous };
        let MovedRights { subject, ends, rooms, may_signal, capacity, token_id, meta } = rights;
        let left = Duration::from_secs(ends).saturating_sub(unix_now).min(LONGEST);
        Identity::Holder(Arc::new(Rights {
            subject,
            expires_at: now + left,
            ends,
            rooms,
            watch: Box::default(),
            call: Box::default(),
            may_signal,
            may_moderate: false,
            capacity,
            token_id,
            meta,
        }))
    }
}

/// Why a connection is rejected: its token opens nothing, its page may not connect, or it speaks another protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRejection {
    /// 4100, 4101, 4200 or 4204.
    pub close: CloseCode,
    /// `unauthorized`, `token_expired`, `bad_request` or `forbidden`.
    pub code: ErrorCode,
    /// For a developer to read.
    pub message: String,
}

/// The result of a handshake.
#[derive(Debug)]
pub enum Entrance {
    /// The handshake carried a valid token.
    Authenticated(Identity),
    /// The client has to send `hello`.
    AwaitingHello {
        /// Whether a `hello` without a token is enough.
        anonymous: bool,
    },
    /// Its token opens nothing, or its page may not connect; browsers learn that only after the upgrade.
    Rejected(SessionRejection),
}

/// How much of an `Origin` header is repeated in an error, in characters.
const ORIGIN_SHOWN: usize = 100;

impl SessionRejection {
    /// Pages of this origin may not connect.
    #[must_use]
    pub fn origin(origin: &str) -> Self {
        let origin: String = origin.chars().take(ORIGIN_SHOWN).collect();
        let message = format!(
            "pages of {origin:?} may not connect: the operator lists the origins that may in \
             SIGNAL_NODE_ALLOWED_ORIGINS"
        );
        Self { close: CloseCode::OriginRefused, code: ErrorCode::Forbidden, message }
    }

    /// The handshake names no subprotocol.
    #[must_use]
    pub fn protocol() -> Self {
        let message = format!("offer the WebSocket subprotocol {SUBPROTOCOL}");
        Self { close: CloseCode::ProtocolError, code: ErrorCode::BadRequest, message }
    }

    /// Returns the label of `signal_upgrade_rejected_total`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.close {
            CloseCode::OriginRefused => "origin",
            CloseCode::ProtocolError => "malformed",
            CloseCode::Drain
            | CloseCode::PingTimeout
            | CloseCode::SlowConsumer
            | CloseCode::Unavailable
            | CloseCode::RateLimit
            | CloseCode::Unauthorized
            | CloseCode::TokenExpired
            | CloseCode::HelloTimeout
            | CloseCode::Replaced
            | CloseCode::Kicked => "token",
        }
    }

    /// There are no keys, and this is not the token that the node has printed.
    pub(super) fn startup_token() -> Self {
        Self::unauthorized(
            "this is not the startup token of the node: open the address that the node printed at its last start; it \
             has no keys to check other tokens with",
        )
    }

    /// The client has no token.
    #[must_use]
    pub fn no_token() -> Self {
        let text =
            "a token is needed here; a node without keys prints an address with one at its start";
        Self::unauthorized(text)
    }

    /// The token is void before its end.
    pub(super) fn revoked() -> Self {
        Self::unauthorized("the token was revoked")
    }

    fn unauthorized(message: impl Into<String>) -> Self {
        let (close, code) = (CloseCode::Unauthorized, ErrorCode::Unauthorized);
        Self { close, code, message: message.into() }
    }
}

impl From<TokenError> for SessionRejection {
    fn from(error: TokenError) -> Self {
        let message = error.to_string();
        if error.is_expired() {
            Self { close: CloseCode::TokenExpired, code: ErrorCode::TokenExpired, message }
        } else {
            Self::unauthorized(message)
        }
    }
}

/// Far beyond any deployment, and what every platform's `Instant` can hold.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

impl Identity {
    /// Takes over verified claims; `unix_now` and `now` are the same moment on two clocks.
    ///
    /// # Errors
    /// [`SessionRejection`] if the subject is not one of ours.
    pub fn holder(
        claims: Claims,
        unix_now: Duration,
        now: Instant,
    ) -> Result<Self, SessionRejection> {
        let subject = Subject::new(&claims.sub)
            .map_err(|error| SessionRejection::unauthorized(error.to_string()))?;
        let left = Duration::from_secs(claims.exp).saturating_sub(unix_now).min(LONGEST);
        Ok(Self::Holder(Arc::new(Rights::new(subject, claims, now + left))))
    }

    fn rights(&self) -> Option<&Rights> {
        match self {
            Self::Anonymous => None,
            Self::Holder(rights) => Some(rights),
        }
    }

    /// Writes the identity for another node.
    #[must_use]
    pub fn moved(&self) -> MovedIdentity {
        MovedIdentity(self.rights().map(|rights| MovedRights {
            subject: rights.subject.clone(),
            ends: rights.ends,
            rooms: rights.rooms.clone(),
            may_signal: rights.may_signal,
            capacity: rights.capacity,
            token_id: rights.token_id.clone(),
            meta: rights.meta.clone(),
        }))
    }

    /// Returns the subject; `None` if anonymous.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.rights().map(|rights| &rights.subject)
    }

    /// Returns the id of the token; `None` if there is none.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.rights()?.token_id.as_deref()
    }

    /// Tells whether it opens the room, to signal there.
    #[must_use]
    pub fn may_enter(&self, room: &RoomId) -> bool {
        self.may_enter_named(room.as_str())
    }

    /// Tells whether it opens what a client of a dialect calls by this name.
    #[must_use]
    pub fn may_enter_named(&self, name: &str) -> bool {
        self.rights().is_none_or(|rights| {
            rights.may_signal && rights.rooms.iter().any(|pattern| opens(pattern, name))
        })
    }

    /// Tells whether it may be told of the presence of a user. An anonymous client may not.
    #[must_use]
    pub fn may_watch(&self, user: &Subject) -> bool {
        self.rights().is_some_and(|rights| any_opens(&rights.watch, user))
    }

    /// Tells whether it may call a user. An anonymous client may not.
    #[must_use]
    pub fn may_call(&self, user: &Subject) -> bool {
        self.rights().is_some_and(|rights| any_opens(&rights.call, user))
    }

    /// Tells whether it may remove others.
    #[must_use]
    pub fn may_moderate(&self) -> bool {
        self.rights().is_some_and(|rights| rights.may_moderate)
    }

    /// Returns how many members a room may have for this identity to enter it.
    #[must_use]
    pub fn capacity(&self) -> Option<u32> {
        self.rights().and_then(|rights| rights.capacity)
    }

    /// Returns when the token ends; `None`: never.
    #[must_use]
    pub fn expires_at(&self) -> Option<Instant> {
        self.rights().map(|rights| rights.expires_at)
    }

    /// Returns when the token ends in Unix seconds; `None`: never.
    #[must_use]
    pub fn ends(&self) -> Option<u64> {
        self.rights().map(|rights| rights.ends)
    }

    /// Lays what the token says about its holder over what the client says: the token wins.
    #[must_use]
    pub fn stamp(&self, meta: Option<&RawValue>) -> Payload {
        let claimed = self.rights().and_then(|rights| rights.meta.as_deref());
        if let (Some(raw), None) = (meta, claimed) {
            return raw.to_owned().into();
        }
        let mut merged: Map<String, Value> =
            meta.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        merged.extend(claimed.cloned().unwrap_or_default());
        let text = serde_json::value::to_raw_value(&merged).expect("a map of values is JSON");
        text.into()
    }
}

impl Rights {
    fn new(subject: Subject, claims: Claims, expires_at: Instant) -> Self {
        let (may_signal, may_moderate) = (claims.can(Right::Signal), claims.can(Right::Moderate));
        let mut meta = claims.meta.unwrap_or_default();
        meta.extend(claims.name.map(|name| ("name".to_owned(), Value::String(name))));
        Self {
            subject,
            expires_at,
            ends: claims.exp,
            rooms: shared(&claims.rooms),
            watch: shared(&claims.watch),
            call: shared(&claims.call),
            may_signal,
            may_moderate,
            capacity: claims.cap,
            token_id: claims.jti.map(Into::into),
            meta: (!meta.is_empty()).then(|| Box::new(meta)),
        }
    }
}

fn shared(patterns: &[String]) -> Box<[Box<str>]> {
    patterns.iter().map(|pattern| pattern.as_str().into()).collect()
}

fn any_opens(patterns: &[Box<str>], user: &Subject) -> bool {
    patterns.iter().any(|pattern| opens(pattern, user.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_arrives_with_the_rights_of_a_client_of_a_dialect_and_ends_when_it_did() {
        let claims: Claims = serde_json::from_value(serde_json::json!({
            "sub": "ana", "exp": 1_000, "rooms": ["team-*"], "cap": 5, "jti": "t1", "name": "Ana",
            "can": ["signal", "moderate"],
        }))
        .unwrap();
        let (unix_now, now) = (Duration::from_secs(900), Instant::now());
        let ana = Identity::holder(claims, unix_now, now).unwrap();
        let text = serde_json::to_string(&ana.moved()).unwrap();
        let moved: MovedIdentity = serde_json::from_str(&text).unwrap();
        let later = Duration::from_secs(10);
        let ana = moved.arrived(unix_now + later, now + later);
        assert_eq!(ana.expires_at(), Some(now + Duration::from_secs(100)));
        assert!(ana.may_enter_named("team-1") && !ana.may_enter_named("other"));
        assert_eq!((ana.subject().unwrap().as_str(), ana.capacity()), ("ana", Some(5)));
        assert_eq!((ana.token_id(), ana.may_moderate()), (Some("t1"), false));
        let nobody: MovedIdentity = serde_json::from_str("null").unwrap();
        assert!(nobody.arrived(unix_now, now).subject().is_none());
    }
}
