//! Allowed origins of browser requests (CORS).

use std::str::FromStr;

/// An origin as browsers send it (RFC 6454 §6.2), or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The origin as a browser sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this is `*`.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HOW: &str =
            "write SCHEME://HOST or SCHEME://HOST:PORT in lower case, nothing after it";
        let host = text.split_once("://").map(|(_, host)| host);
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.:[]/".contains(&b);
        let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
            && text.bytes().all(allowed);
        if text == "*" || is_origin { Ok(Self(text.to_owned())) } else { Err(HOW) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_no_path_and_no_upper_case() {
        for text in ["https://a.example", "http://127.0.0.1:8080", "http://[::1]:80", "*"] {
            assert!(text.parse::<Origin>().is_ok(), "{text}");
        }
        for text in
            ["", "a.example", "https://", "https://a.example/x", "https://A.example", "null"]
        {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
