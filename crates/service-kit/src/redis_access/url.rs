//! The URL of a Redis.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::login::Login;
use crate::secrets::SecretText;

/// How a URL is written.
const FORM: &str = "write redis[s]://[USER:PASSWORD@]HOST[:PORT][/DATABASE], redis[s]-cluster:// or \
                    redis[s]-sentinel:// with further servers as ?node=HOST:PORT";

/// Ports of a server and of a Sentinel.
const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// What the servers of a URL are.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    Single,
    /// Servers of a Redis Cluster.
    Cluster,
    /// Sentinels that know the primary of this name.
    Sentinel {
        name: String,
    },
}

impl Topology {
    /// Takes the name of the primary from a setting; a name is needed for Sentinels and for nothing else.
    pub(super) fn name_primary(&mut self, given: Option<String>) -> Result<(), &'static str> {
        match (self, given) {
            (Self::Sentinel { name }, Some(given)) => *name = given,
            (Self::Sentinel { name }, None) if name.is_empty() => {
                return Err(
                    "is needed where redis_url names Sentinels: the name of the primary that they watch",
                );
            }
            (Self::Single | Self::Cluster, Some(_)) => {
                return Err(
                    "is of no use where redis_url names no Sentinels: write redis-sentinel://",
                );
            }
            _ => {}
        }
        Ok(())
    }
}

/// A server; an IPv6 address stands without brackets.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Name or address.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// What is wrong with a URL; never holds a part of it that may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError(Cow<'static, str>);

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {FORM}", self.0)
    }
}

impl std::error::Error for UrlError {}

fn wrong<T>(what: impl Into<Cow<'static, str>>) -> Result<T, UrlError> {
    Err(UrlError(what.into()))
}

/// The parts of a URL.
#[derive(Debug)]
pub(super) struct ParsedUrl {
    pub(super) topology: Topology,
    pub(super) servers: Vec<Server>,
    pub(super) database: u8,
    pub(super) login: Login,
    pub(super) sentinel_login: Login,
    pub(super) is_tls: bool,
}

impl FromStr for ParsedUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let Ok(url) = Url::parse(text) else { return wrong("is no URL") };
        let (is_tls, mut topology) = scheme(url.scheme())?;
        let database = database(url.path())?;
        if topology == Topology::Cluster && database != 0 {
            return wrong("names a database, of which a cluster has only one");
        }
        let port = if topology == Topology::Single { PORT } else { url_port(&topology) };
        let mut servers = vec![first_server(&url, port)?];
        let mut sentinel_login = Login::default();
        for (name, value) in url.query_pairs() {
            match &*name {
                "node" if topology != Topology::Single => servers.push(server(&value, port)?),
                "sentinelServiceName" if topology != Topology::Single => {
                    topology = Topology::Sentinel { name: value.into_owned() };
                }
                "sentinelUsername" => sentinel_login.username = Some(value.into_owned()),
                "sentinelPassword" => {
                    sentinel_login.password = Some(SecretText::new(value.into_owned()));
                }
                "node" => return wrong("names several servers, and neither cluster nor sentinel"),
                other => return wrong(format!("has an unknown parameter {other:?}")),
            }
        }
        let login = login(&url)?;
        Ok(Self { topology, servers, database, login, sentinel_login, is_tls })
    }
}

fn scheme(scheme: &str) -> Result<(bool, Topology), UrlError> {
    let (kind, rest) = scheme.split_once('-').unwrap_or((scheme, ""));
    let is_tls = match kind {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return wrong(format!("has the scheme {scheme:?}")),
    };
    match rest {
        "" => Ok((is_tls, Topology::Single)),
        "cluster" => Ok((is_tls, Topology::Cluster)),
        "sentinel" => Ok((is_tls, Topology::Sentinel { name: String::new() })),
        _ => wrong(format!("has the scheme {scheme:?}")),
    }
}

fn url_port(topology: &Topology) -> u16 {
    if matches!(topology, Topology::Sentinel { .. }) { SENTINEL_PORT } else { PORT }
}

fn database(path: &str) -> Result<u8, UrlError> {
    match path.trim_start_matches('/') {
        "" => Ok(0),
        number => number.parse().or_else(|_| wrong("has a path that is no number of a database")),
    }
}

fn first_server(url: &Url, port: u16) -> Result<Server, UrlError> {
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return wrong("names no host");
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Server { host, port: url.port().unwrap_or(port) })
}

/// Reads `HOST`, `HOST:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`.
fn server(text: &str, port: u16) -> Result<Server, UrlError> {
    match Url::parse(&format!("redis://{text}")) {
        Ok(url) => first_server(&url, port),
        Err(_) => wrong(format!("has a node {text:?} that is not HOST:PORT")),
    }
}

fn login(url: &Url) -> Result<Login, UrlError> {
    let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => wrong("has a user or password that is not UTF-8"),
    };
    let username = decode(url.username())?;
    let password = url.password().map(decode).transpose()?;
    let password = password.filter(|password| !password.is_empty()).map(SecretText::new);
    let username = (!username.is_empty()).then_some(username);
    Ok(Login { username, password, password_file: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> ParsedUrl {
        url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    fn hosts(url: &str) -> Vec<(String, u16)> {
        parsed(url).servers.into_iter().map(|server| (server.host, server.port)).collect()
    }

    #[test]
    fn a_password_may_hold_any_character() {
        let url = parsed("redis://us%20er:p%40ss%20%22w%2Frd%22%5C%27@h");
        assert_eq!(url.login.username.as_deref(), Some("us er"));
        assert_eq!(url.login.password().unwrap().expose(), "p@ss \"w/rd\"\\'");
    }

    #[test]
    fn addresses_of_ipv6_are_seeds_too() {
        let url = "rediss-cluster://[2001:db8::1]:7000?node=[2001:db8::2]:7001&node=redis.example&node=[::1]";
        let expected = [
            ("2001:db8::1", 7_000),
            ("2001:db8::2", 7_001),
            ("redis.example", PORT),
            ("::1", PORT),
        ];
        assert_eq!(hosts(url), expected.map(|(host, port)| (host.to_owned(), port)));
        assert!(parsed(url).is_tls && parsed(url).topology == Topology::Cluster);
    }

    #[test]
    fn sentinels_name_their_primary_in_the_url_or_in_a_setting() {
        let mut named = parsed(
            "redis-sentinel://s1/2?sentinelServiceName=main&sentinelPassword=a%20b&node=s2:1",
        );
        assert_eq!(named.topology, Topology::Sentinel { name: "main".to_owned() });
        assert_eq!(named.sentinel_login.password().unwrap().expose(), "a b");
        assert_eq!((named.database, named.servers[0].port), (2, SENTINEL_PORT));
        named.topology.name_primary(Some("other".to_owned())).unwrap();
        assert_eq!(named.topology, Topology::Sentinel { name: "other".to_owned() });
        assert!(parsed("redis-sentinel://s1").topology.name_primary(None).is_err());
        assert!(parsed("redis://h").topology.name_primary(Some("main".to_owned())).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, what) in [
            ("redis//h", "is no URL"),
            ("http://h", "the scheme"),
            ("redis:///1", "names no host"),
            ("redis://:hunter2@h/one", "no number of a database"),
            ("redis://:hunter2@h?node=a:1", "neither cluster nor sentinel"),
            ("redis-cluster://:hunter2@h?node=a:b", "not HOST:PORT"),
            ("redis-cluster://:hunter2@h/1", "only one"),
            ("redis://h?timeout=1", "unknown parameter \"timeout\""),
        ] {
            let error = url.parse::<ParsedUrl>().unwrap_err().to_string();
            assert!(error.contains(what) && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
