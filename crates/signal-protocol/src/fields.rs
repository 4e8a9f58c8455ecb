//! Fields that several messages of a client have.

use std::num::NonZeroU64;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::limits;

/// Correlates a request with its reply; chosen by the client.
pub type RequestId = u64;

/// The number of a join among those with its key, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(NonZeroU64);

impl Attempt {
    /// Returns the number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl<'de> Deserialize<'de> for Attempt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        NonZeroU64::new(number).map(Self).ok_or_else(|| D::Error::custom("try counts from 1"))
    }
}

/// An object of at most [`limits::META_BYTES`], as the client wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a>(&'a RawValue);

impl<'a> Meta<'a> {
    /// Returns the text of the object.
    #[must_use]
    pub fn raw(self) -> &'a RawValue {
        self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Meta<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        if is_too_large(raw) {
            let most = limits::META_BYTES;
            return Err(D::Error::custom(format_args!("meta may have {most} bytes")));
        }
        if !raw.get().starts_with('{') {
            return Err(D::Error::custom("meta must be an object"));
        }
        Ok(Self(raw))
    }
}

pub(crate) fn is_too_large(meta: &RawValue) -> bool {
    meta.get().len() > limits::META_BYTES
}
