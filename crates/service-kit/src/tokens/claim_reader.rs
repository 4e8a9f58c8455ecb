//! Reads claims one by one, so that an error names the claim and the shape of its value.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value};

/// What a time must be (RFC 7519 §2, `NumericDate`).
pub(super) const NUMERIC_DATE: &str = "a number of seconds since 1970";

/// A claim that cannot be used. It shows the shape of the value and not the value, which may be personal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("claim {claim} {shape}; it must be {expected}")]
pub(super) struct ClaimError {
    claim: &'static str,
    shape: String,
    expected: &'static str,
}

impl ClaimError {
    pub(super) fn new(
        claim: &'static str,
        shape: impl Into<String>,
        expected: &'static str,
    ) -> Self {
        Self { claim, shape: shape.into(), expected }
    }

    pub(super) fn missing(claim: &'static str, expected: &'static str) -> Self {
        Self::new(claim, "is missing", expected)
    }
}

/// The claims that have not been taken yet.
pub(super) struct ClaimReader(Map<String, Value>);

impl ClaimReader {
    /// Takes a claim; `null` counts as absent.
    pub(super) fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, ClaimError> {
        let value = self.0.remove(name).filter(|value| !value.is_null());
        value.map(|value| read(name, value, expected)).transpose()
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, ClaimError> {
        self.take(name, "a text")
    }

    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, ClaimError> {
        Ok(self.take(name, "a list of texts")?.unwrap_or_default())
    }

    /// Takes one text or several (RFC 7519 §4.1.3).
    pub(super) fn text_or_texts(&mut self, name: &'static str) -> Result<Vec<String>, ClaimError> {
        match self.0.get(name) {
            Some(Value::String(_)) => Ok(self.text(name)?.into_iter().collect()),
            _ => Ok(self.take(name, "a text or a list of texts")?.unwrap_or_default()),
        }
    }

    /// Takes a time in whole seconds; a fraction is dropped, so that a token never lives longer than it says.
    pub(super) fn time(&mut self, name: &'static str) -> Result<Option<u64>, ClaimError> {
        let fractional = self.0.get(name).filter(|value| value.is_f64()).and_then(Value::as_f64);
        let Some(seconds) = fractional.filter(|seconds| *seconds >= 0.0) else {
            return self.take(name, NUMERIC_DATE);
        };
        self.0.remove(name);
        Ok(Some(whole(seconds)))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller has checked the sign; a cast saturates, and what is too large is refused later"
)]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

fn read<T: DeserializeOwned>(
    claim: &'static str,
    value: Value,
    expected: &'static str,
) -> Result<T, ClaimError> {
    let shape = shape(&value);
    serde_json::from_value(value).map_err(|_| ClaimError { claim, shape, expected })
}

fn shape(value: &Value) -> String {
    match value {
        Value::Null => "is null".to_owned(),
        Value::Bool(_) => "is true or false".to_owned(),
        Value::Number(number) if number.as_f64().is_some_and(|number| number < 0.0) => {
            "is a negative number".to_owned()
        }
        Value::Number(_) => "is a number".to_owned(),
        Value::String(text) => format!("is a text of {} bytes", text.len()),
        Value::Array(items) => format!("is a list of {}", items.len()),
        Value::Object(_) => "is an object".to_owned(),
    }
}

/// Reads an object whose names are unique (RFC 7519 §4).
impl<'de> Deserialize<'de> for ClaimReader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueNames)
    }
}

struct UniqueNames;

impl<'de> Visitor<'de> for UniqueNames {
    type Value = ClaimReader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<ClaimReader, A::Error> {
        let mut claims = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if claims.contains_key(&name) {
                return Err(de::Error::custom(format_args!("claim {name} occurs twice")));
            }
            claims.insert(name, value);
        }
        Ok(ClaimReader(claims))
    }
}
