//! The claims of a token.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The last time accepted in a claim: 9999-12-31T23:59:59Z.
///
/// Later dates have no RFC 3339 form, and adding a duration to them may overflow.
const LAST_SECOND: u64 = 253_402_300_799;

/// The claims of a verified token.
///
/// Unknown claims are ignored. A known claim of a wrong type rejects the whole token, so that a
/// mistyped limit never reads as no limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawClaims")]
pub struct Claims {
    /// The subject: 1–128 bytes of `A–Z a–z 0–9 . _ -`.
    pub sub: String,
    /// Expiry in Unix seconds (RFC 7519 §4.1.4).
    pub exp: u64,
    /// Start of validity in Unix seconds (RFC 7519 §4.1.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Rooms the holder may enter, exact or with a trailing `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<String>,
    /// Rights of the holder.
    pub can: Vec<Right>,
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Further data shown to other members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Map<String, Value>>,
    /// Most members that a room may have for this holder to enter it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<u32>,
    /// Token id, used for revocation (RFC 7519 §4.1.7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Issuer (RFC 7519 §4.1.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Audiences (RFC 7519 §4.1.3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aud: Vec<String>,
}

/// A right of the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Enter rooms and send signals.
    Signal,
    /// Kick members and lock rooms.
    Moderate,
    /// Use the REST API of the cluster.
    Admin,
}

impl Claims {
    /// Creates minimal claims: subject, expiry, the right to signal, no rooms.
    #[must_use]
    pub fn new(sub: impl Into<String>, exp: u64) -> Self {
        Self {
            sub: sub.into(),
            exp,
            nbf: None,
            rooms: Vec::new(),
            can: default_rights(),
            name: None,
            meta: None,
            cap: None,
            jti: None,
            iss: None,
            aud: Vec::new(),
        }
    }

    /// Returns whether the holder may enter `room`.
    #[must_use]
    pub fn may_enter(&self, room: &str) -> bool {
        self.rooms.iter().any(|pattern| opens(pattern, room))
    }

    /// Returns whether the token grants `right`.
    #[must_use]
    pub fn can(&self, right: Right) -> bool {
        self.can.contains(&right)
    }
}

/// Returns whether `pattern` matches `room`: exactly, or as a prefix if it ends with `*`.
#[must_use]
pub fn opens(pattern: &str, room: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => room.starts_with(beginning),
        None => room == pattern,
    }
}

/// The claims as written, before validation.
#[derive(Deserialize)]
struct RawClaims {
    sub: String,
    exp: u64,
    nbf: Option<u64>,
    room: Option<String>,
    #[serde(default)]
    rooms: Vec<String>,
    #[serde(default = "default_rights")]
    can: Vec<Right>,
    name: Option<String>,
    meta: Option<Map<String, Value>>,
    cap: Option<u32>,
    jti: Option<String>,
    iss: Option<String>,
    #[serde(default)]
    aud: Audience,
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

fn default_rights() -> Vec<Right> {
    vec![Right::Signal]
}

impl TryFrom<RawClaims> for Claims {
    type Error = ClaimError;

    fn try_from(raw: RawClaims) -> Result<Self, ClaimError> {
        if !is_subject(&raw.sub) {
            return Err(ClaimError::Subject);
        }
        if raw.exp > LAST_SECOND || raw.nbf.is_some_and(|nbf| nbf > LAST_SECOND) {
            return Err(ClaimError::Time);
        }
        let rooms: Vec<_> = raw.room.into_iter().chain(raw.rooms).collect();
        if rooms.iter().any(|room| !is_room_pattern(room)) {
            return Err(ClaimError::Room);
        }
        let aud = match raw.aud {
            Audience::One(one) => vec![one],
            Audience::Several(several) => several,
        };
        let RawClaims { sub, exp, nbf, can, name, meta, cap, jti, iss, .. } = raw;
        Ok(Self { sub, exp, nbf, rooms, can, name, meta, cap, jti, iss, aud })
    }
}

/// Reasons to reject claims that parse.
#[derive(Debug, PartialEq, Eq)]
enum ClaimError {
    Subject,
    Time,
    Room,
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "`sub` is not 1 to 128 letters, digits, dots, underscores or hyphens",
            Self::Time => "`exp` or `nbf` lies past the year 9999",
            Self::Room => "`room` or `rooms` has an empty name or a `*` before its end",
        })
    }
}

fn is_subject(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_room_pattern(text: &str) -> bool {
    !text.is_empty() && !text.trim_end_matches('*').contains('*') && !text.ends_with("**")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Claims, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_plain_token_may_signal_and_nothing_more() {
        let claims = read(r#"{"sub":"ana","exp":10,"room":"demo"}"#).unwrap();
        assert!(claims.can(Right::Signal));
        assert!(!claims.can(Right::Moderate) && !claims.can(Right::Admin));
    }

    #[test]
    fn a_room_opens_exactly_and_a_star_opens_what_begins_so() {
        let json = r#"{"sub":"ana","exp":10,"room":"demo","rooms":["team-*","x"]}"#;
        let claims = read(json).unwrap();
        for (room, open) in
            [("demo", true), ("demo2", false), ("team-1", true), ("team", false), ("x", true)]
        {
            assert_eq!(claims.may_enter(room), open, "{room}");
        }
        assert!(read(r#"{"sub":"ana","exp":10,"room":"*"}"#).unwrap().may_enter("any"));
        assert!(!read(r#"{"sub":"ana","exp":10}"#).unwrap().may_enter("demo"));
    }

    #[test]
    fn claims_survive_being_written_and_read() {
        let mut claims = Claims::new("ana", 10);
        claims.rooms = vec!["demo".into()];
        claims.can = vec![Right::Signal, Right::Moderate];
        claims.aud = vec!["signal".into()];
        claims.cap = Some(3);
        let json = serde_json::to_string(&claims).unwrap();
        assert!(json.contains(r#""can":["signal","moderate"]"#), "{json}");
        assert_eq!(read(&json).unwrap(), claims);
    }

    #[test]
    fn a_mistyped_claim_refuses_the_token_and_is_named() {
        for (json, named) in [
            (r#"{"exp":10}"#, "sub"),
            (r#"{"sub":"","exp":10}"#, "sub"),
            (r#"{"sub":"a:b","exp":10}"#, "sub"),
            (r#"{"sub":"ana"}"#, "exp"),
            (r#"{"sub":"ana","exp":"10"}"#, "string"),
            (r#"{"sub":"ana","exp":10.5}"#, "floating point"),
            (r#"{"sub":"ana","exp":-1}"#, "-1"),
            (r#"{"sub":"ana","exp":9223372036854775808}"#, "exp"),
            (r#"{"sub":"ana","exp":10,"exp":99}"#, "duplicate field `exp`"),
            (r#"{"sub":"ana","exp":10,"can":["fly"]}"#, "fly"),
            (r#"{"sub":"ana","exp":10,"cap":-1}"#, "-1"),
            (r#"{"sub":"ana","exp":10,"meta":[]}"#, "map"),
            (r#"{"sub":"ana","exp":10,"room":"a*b"}"#, "room"),
            (r#"{"sub":"ana","exp":10,"rooms":["**"]}"#, "room"),
            (r#"{"sub":"ana","exp":10,"nbf":"soon"}"#, "string"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(named), "{json} gave {error}");
        }
    }
}
