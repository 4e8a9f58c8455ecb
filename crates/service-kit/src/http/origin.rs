//! Origins as operators list them and as browsers send them (RFC 6454 §6.2).

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// An origin, written as browsers send it: scheme and host in lower case, a name in ASCII (RFC 5891), no default port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is no origin.
const WANTED: &str = "write SCHEME://HOST or SCHEME://HOST:PORT with nothing after it, such as https://app.example, \
                      http://localhost:3000 or capacitor://localhost";

impl Origin {
    /// Returns the text that browsers send.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether an `Origin` header is this one. Browsers write it in one way only, so the bytes are compared.
    #[must_use]
    pub fn is(&self, header: &str) -> bool {
        self.0 == header
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, authority) = text.split_once("://").ok_or(WANTED)?;
        let strange = |c: char| c.is_whitespace() || c.is_control() || "/?#@*\\%<>^|".contains(c);
        if authority.is_empty() || authority.contains(strange) {
            return Err(WANTED);
        }
        let url = Url::parse(&format!("{scheme}://{authority}")).map_err(|_| WANTED)?;
        if matches!(url.scheme(), "http" | "https") {
            return Ok(Self(url.origin().ascii_serialization()));
        }
        // `capacitor:`, `tauri:`, `ionic:`, extensions: the URL standard gives them no origin, shells send this one.
        // Names stay as they are in such URLs, so one that is not ASCII would match nothing.
        let host = url.host_str().filter(|_| authority.is_ascii()).ok_or(WANTED)?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let has_origin = !matches!(url.scheme(), "file" | "data" | "blob" | "ws" | "wss" | "ftp");
        let written = format!("{}://{}{port}", url.scheme(), host.to_ascii_lowercase());
        has_origin.then_some(Self(written)).ok_or(WANTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it_or_refused() {
        for (text, sent) in [
            ("https://app.example", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("http://app.example:443", "http://app.example:443"),
            ("HTTPS://App.Example", "https://app.example"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("ionic://localhost", "ionic://localhost"),
            ("tauri://localhost", "tauri://localhost"),
            ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
            ("app://localhost:8080", "app://localhost:8080"),
        ] {
            assert_eq!(
                text.parse::<Origin>().map(|origin| origin.to_string()),
                Ok(sent.to_owned())
            );
            assert!(text.parse::<Origin>().unwrap().is(sent));
        }
        for wrong in [
            "",
            "app.example",
            "https://",
            "https://*.example",
            "https://a/b",
            "https://a/",
            "https://u@a.example",
            "https://a.example?x",
            "null",
            "*",
            "file://host",
            "tauri://bücher",
            "https://a b",
            "https://a:99999",
            "wss://a.example",
            "1a://b",
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}
