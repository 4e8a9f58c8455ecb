//! The claims of a token.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::claim_reader::{ClaimError, ClaimReader, NUMERIC_DATE};

/// The last time accepted in a claim: 9999-12-31T23:59:59Z.
///
/// Later dates have no RFC 3339 form, and adding a duration to them may overflow.
const LAST_SECOND: u64 = 253_402_300_799;

/// Bound on a subject, in bytes: 255 characters as in `OpenID` Connect, each of up to four bytes.
pub const SUBJECT_BYTES: usize = 1020;

/// The claims of a verified token.
///
/// Unknown claims are ignored. A known claim of a wrong type rejects the whole token, so that a
/// mistyped limit never reads as no limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ClaimReader")]
pub struct Claims {
    /// The subject (RFC 7519 §4.1.2): any text of 1 to [`SUBJECT_BYTES`] bytes.
    pub sub: String,
    /// Expiry in Unix seconds (RFC 7519 §4.1.4).
    pub exp: u64,
    /// Start of validity in Unix seconds (RFC 7519 §4.1.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Rooms the holder may enter, exact or with a trailing `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<String>,
    /// Users that the holder may watch, exact or with a trailing `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<String>,
    /// Users that the holder may call, exact or with a trailing `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub call: Vec<String>,
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
            watch: Vec::new(),
            call: Vec::new(),
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

/// Returns whether `pattern` matches the name of a room or user: exactly, or as a prefix if it ends with `*`.
#[must_use]
pub fn opens(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

fn default_rights() -> Vec<Right> {
    vec![Right::Signal]
}

impl TryFrom<ClaimReader> for Claims {
    type Error = ClaimError;

    fn try_from(mut claims: ClaimReader) -> Result<Self, ClaimError> {
        let sub = claims.text("sub")?.ok_or(ClaimError::missing("sub", "a text"))?;
        if !(1..=SUBJECT_BYTES).contains(&sub.len()) {
            let shape = format!("is a text of {} bytes", sub.len());
            return Err(ClaimError::new("sub", shape, "1 to 1020 bytes"));
        }
        let exp = claims.time("exp")?.ok_or(ClaimError::missing("exp", NUMERIC_DATE))?;
        let nbf = claims.time("nbf")?;
        let room = claims.text("room")?.map(|room| ("room", room)).into_iter();
        let rooms = claims.texts("rooms")?.into_iter().map(|room| ("rooms", room));
        Ok(Self {
            sub,
            exp: before_year_10000("exp", exp)?,
            nbf: nbf.map(|nbf| before_year_10000("nbf", nbf)).transpose()?,
            rooms: room
                .chain(rooms)
                .map(|(claim, text)| pattern(claim, text, ROOMS))
                .collect::<Result<_, _>>()?,
            watch: patterns(&mut claims, "watch")?,
            call: patterns(&mut claims, "call")?,
            can: claims.take("can", RIGHTS)?.unwrap_or_else(default_rights),
            name: claims.text("name")?,
            meta: claims.take("meta", "an object")?,
            cap: claims.take("cap", "a whole number from 0 to 4294967295")?,
            jti: claims.text("jti")?,
            iss: claims.text("iss")?,
            aud: claims.text_or_texts("aud")?,
        })
    }
}

const RIGHTS: &str = "a list of \"signal\", \"moderate\" and \"admin\"";

fn before_year_10000(name: &'static str, seconds: u64) -> Result<u64, ClaimError> {
    if seconds > LAST_SECOND {
        return Err(ClaimError::new(name, "lies past the year 9999", NUMERIC_DATE));
    }
    Ok(seconds)
}

const ROOMS: &str = "names of rooms, each with at most one `*`, at its end";
const USERS: &str = "subjects of users, each with at most one `*`, at its end";

fn patterns(claims: &mut ClaimReader, claim: &'static str) -> Result<Vec<String>, ClaimError> {
    claims.texts(claim)?.into_iter().map(|text| pattern(claim, text, USERS)).collect()
}

fn pattern(
    claim: &'static str,
    text: String,
    expected: &'static str,
) -> Result<String, ClaimError> {
    if text.is_empty() || text.trim_end_matches('*').contains('*') || text.ends_with("**") {
        let shape = if text.is_empty() { "has an empty name" } else { "has a `*` before its end" };
        return Err(ClaimError::new(claim, shape, expected));
    }
    Ok(text)
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
        claims.watch = vec!["team-*".into()];
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
            (r#"{"sub":7,"exp":10}"#, "claim sub is a number; it must be a text"),
            (r#"{"sub":"ana"}"#, "exp"),
            (r#"{"sub":"ana","exp":"10"}"#, "claim exp is a text of 2 bytes; it must be a number"),
            (r#"{"sub":"ana","exp":-1}"#, "claim exp is a negative number"),
            (r#"{"sub":"ana","exp":null}"#, "claim exp is missing"),
            (r#"{"sub":"ana","exp":9223372036854775808}"#, "exp"),
            (r#"{"sub":"ana","exp":10,"exp":99}"#, "claim exp occurs twice"),
            (r#"{"sub":"ana","exp":10,"can":["fly"]}"#, "claim can is a list of 1"),
            (r#"{"sub":"ana","exp":10,"can":"signal"}"#, "claim can is a text of 6 bytes"),
            (r#"{"sub":"ana","exp":10,"cap":-1}"#, "claim cap is a negative number"),
            (r#"{"sub":"ana","exp":10,"meta":[]}"#, "claim meta is a list of 0"),
            (r#"{"sub":"ana","exp":10,"rooms":"demo"}"#, "claim rooms is a text of 4 bytes"),
            (r#"{"sub":"ana","exp":10,"aud":{}}"#, "claim aud is an object"),
            (r#"{"sub":"ana","exp":10,"room":"a*b"}"#, "room"),
            (r#"{"sub":"ana","exp":10,"rooms":["**"]}"#, "room"),
            (
                r#"{"sub":"ana","exp":10,"watch":"bo"}"#,
                "claim watch is a text of 2 bytes; it must be a list",
            ),
            (
                r#"{"sub":"ana","exp":10,"watch":["*bo"]}"#,
                "claim watch has a `*` before its end; it must be subjects",
            ),
            (r#"{"sub":"ana","exp":10,"nbf":"soon"}"#, "claim nbf is a text of 4 bytes"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(named), "{json} gave {error}");
        }
    }

    #[test]
    fn a_subject_is_any_text_up_to_a_length() {
        let longest = "é".repeat(510);
        for sub in [
            "auth0|5f7c8ec7c33c6c004bbafe82",
            "user@example.org",
            "@user:example.org",
            "urn:user:7",
            "CN=Ana Lovelace,O=Example",
            "a\nb\0c\u{202e}",
            &longest,
        ] {
            let json = serde_json::json!({ "sub": sub, "exp": 10 }).to_string();
            assert_eq!(read(&json).unwrap().sub, sub);
        }
        let json = serde_json::json!({ "sub": "x".repeat(1021), "exp": 10 }).to_string();
        let error = read(&json).unwrap_err();
        assert_eq!(error, "claim sub is a text of 1021 bytes; it must be 1 to 1020 bytes");
    }

    #[test]
    fn what_the_rfc_allows_besides_is_read() {
        let claims = read(r#"{"sub":"ana","exp":10.9,"nbf":1e1,"aud":"a","jti":"a b/c"}"#).unwrap();
        assert_eq!((claims.exp, claims.nbf), (10, Some(10)), "a NumericDate may have a fraction");
        assert_eq!((claims.aud, claims.jti), (vec!["a".to_owned()], Some("a b/c".to_owned())));
    }
}
