//! Which pages may open a socket: the guard against cross-site WebSocket hijacking (RFC 6455 §10.2).

use std::net::IpAddr;

use service_kit::http::Origin;

/// What `Origin` headers are let in. An absent header is: only browsers send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Pages that came from this very host and port.
    Same,
    /// These, exactly, and the pages of this very host and port.
    SameOrListed(Vec<Origin>),
    /// These, exactly, and no page of the node itself.
    Listed(Vec<Origin>),
    /// All of them; must be spelled out as `*`.
    Any,
}

/// The word of the setting that locks out the page which the node itself serves.
const NO_SAME_ORIGIN: &str = "no-same-origin";

impl AllowedOrigins {
    /// Reads the words of the setting.
    ///
    /// # Errors
    /// The first word that is not an origin, or a list without any.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        match words {
            [] => return Ok(Self::Same),
            [one] if one == "*" => return Ok(Self::Any),
            _ => {}
        }
        let parse = |word: &String| word.parse().map_err(|why| format!("{word:?}: {why}"));
        let listed = words.iter().filter(|word| *word != NO_SAME_ORIGIN).map(parse);
        let listed = listed.collect::<Result<Vec<Origin>, String>>()?;
        match (listed.len() == words.len(), listed.is_empty()) {
            (true, _) => Ok(Self::SameOrListed(listed)),
            (false, false) => Ok(Self::Listed(listed)),
            (false, true) => Err(format!(
                "{NO_SAME_ORIGIN:?} alone lets no page connect: list the origins of yours"
            )),
        }
    }

    /// Tells whether a page of `origin` may open a socket on `host` (the `Host` header).
    #[must_use]
    pub fn allows(&self, origin: &str, host: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => is_listed(listed, origin),
            Self::Same => is_same(origin, host),
            Self::SameOrListed(listed) => is_listed(listed, origin) || is_same(origin, host),
        }
    }
}

fn is_listed(listed: &[Origin], origin: &str) -> bool {
    listed.iter().any(|allowed| allowed.is(origin))
}

fn is_same(origin: &str, host: Option<&str>) -> bool {
    host.is_some_and(|host| same_host(origin, host))
}

/// Compares host and port; the scheme is the proxy's business, and gives the port where none is written.
///
/// Over plain HTTP a name in `Host` proves nothing: its owner may have resolved it to this node (DNS rebinding). Over
/// HTTPS the certificate would not fit. A page of such a name has no camera anyway, since it is no secure context.
fn same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default = match scheme {
        "http" if is_own_name(authority) => ":80",
        "https" => ":443",
        _ => return false,
    };
    let full = |text: &str| {
        let bare = text.rsplit_once(']').map_or(text, |(_, rest)| rest);
        let port = if bare.contains(':') { "" } else { default };
        format!("{}{port}", text.to_ascii_lowercase())
    };
    full(authority) == full(host)
}

/// Tells whether nobody else can give this host another address: an address itself, or a name for loopback (RFC 6761).
fn is_own_name(authority: &str) -> bool {
    let has_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = authority.rsplit_once(':').filter(|(_, port)| has_port(port));
    let name = name.map_or(authority, |(name, _)| name).to_ascii_lowercase();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
    bare.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_origin_has_the_same_host_and_port() {
        let same = |origin, host| AllowedOrigins::Same.allows(origin, Some(host));
        assert!(same("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(same("https://app.example", "app.example"));
        assert!(same("https://app.example", "app.example:443"));
        assert!(same("http://[::1]:8080", "[::1]:8080"));
        assert!(same("http://localhost", "localhost:80"));
        assert!(same("http://demo.localhost:8080", "demo.localhost:8080"));
        assert!(!same("http://127.0.0.1:8081", "127.0.0.1:8080"));
        assert!(!same("https://app.example.evil", "app.example"));
        assert!(!same("https://evil/app.example", "app.example"));
        assert!(!same("null", "app.example"));
        assert!(!AllowedOrigins::Same.allows("https://app.example", None));
    }

    #[test]
    fn a_name_that_was_rebound_to_this_node_is_not_the_same_origin() {
        for name in
            ["evil.example:8080", "evil.example", "localhost.evil.example", "127.0.0.1.evil"]
        {
            assert!(!AllowedOrigins::Same.allows(&format!("http://{name}"), Some(name)), "{name}");
        }
    }

    #[test]
    fn listed_origins_are_compared_exactly() {
        let words = ["https://app.example".to_owned(), "http://localhost:3000".to_owned()];
        let listed = AllowedOrigins::parse(&words).unwrap();
        assert!(listed.allows("https://app.example", Some("other")));
        for foreign in [
            "https://app.example.",
            "https://app.example:443",
            "http://app.example",
            "https://app.example.evil",
            "https://evil.app.example",
            "null",
            "",
        ] {
            assert!(!listed.allows(foreign, Some("node.example")), "{foreign}");
        }
    }

    fn parse(text: &str) -> Result<AllowedOrigins, String> {
        AllowedOrigins::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_list_does_not_lock_out_the_page_of_the_node_itself() {
        let listed = parse("https://app.example").unwrap();
        assert!(listed.allows("https://node.example", Some("node.example")));
        assert!(!listed.allows("https://node.example", Some("other.example")));
        assert!(!listed.allows("https://node.example", None));
    }

    #[test]
    fn a_word_locks_out_the_page_of_the_node_itself() {
        for text in ["no-same-origin,https://app.example", "https://app.example,no-same-origin"] {
            let listed = parse(text).unwrap();
            assert!(listed.allows("https://app.example", Some("node.example")));
            assert!(!listed.allows("https://node.example", Some("node.example")), "{text}");
        }
        assert!(parse("no-same-origin").unwrap_err().contains("lets no page connect"));
        assert!(parse("no-same-origin,*").is_err());
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for wrong in ["app.example", "https://", "https://*.example", "https://a/b", "null"] {
            assert!(AllowedOrigins::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
        assert_eq!(AllowedOrigins::parse(&["*".to_owned()]).unwrap(), AllowedOrigins::Any);
    }
}
