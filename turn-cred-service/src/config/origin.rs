//! Allowed origins of browser requests (CORS).

use std::str::FromStr;

use service_kit::http::Origin;

/// An origin, or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Every page.
    Any,
    /// Pages of this origin.
    Exact(Origin),
}

impl FromStr for AllowedOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" { Ok(Self::Any) } else { text.parse().map(Self::Exact) }
    }
}
