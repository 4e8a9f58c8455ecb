//! The words of which lines in Redis are made. Nothing in them is trusted to be well-formed.

use std::str::FromStr;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::log::{LogError, Payload};

pub(super) fn garbled(what: impl std::fmt::Display) -> LogError {
    LogError::UnexpectedReply(format!("unexpected {what}"))
}

/// A time in µs. After a clock was set back, a node of version 0.1.0 writes a time in the future as a negative age.
pub(super) fn micros(number: i64) -> Duration {
    Duration::from_micros(number.try_into().unwrap_or(0))
}

pub(super) fn payload(text: String) -> Result<Payload, LogError> {
    let raw = RawValue::from_string(text).map_err(|_| garbled("payload that is not JSON"))?;
    Ok(raw.into())
}

/// The words of a head line.
pub(super) struct Words<'a>(pub(super) std::str::Split<'a, char>);

impl<'a> Words<'a> {
    pub(super) fn word(&mut self) -> Result<&'a str, LogError> {
        self.0.next().ok_or_else(|| garbled("end of a line"))
    }

    pub(super) fn expect(&mut self, word: &str) -> Result<(), LogError> {
        let found = self.word()?;
        if found == word { Ok(()) } else { Err(garbled(format!("{found:?}"))) }
    }

    pub(super) fn parse<T: FromStr>(&mut self) -> Result<T, LogError> {
        let word = self.word()?;
        word.parse().map_err(|_| garbled(format!("{word:?}")))
    }

    pub(super) fn optional<T: FromStr>(&mut self, none: &str) -> Result<Option<T>, LogError> {
        match self.word()? {
            word if word == none => Ok(None),
            word => word.parse().map(Some).map_err(|_| garbled(format!("{word:?}"))),
        }
    }
}
