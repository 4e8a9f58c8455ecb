//! The configured relays: regions, the relays of each, the URLs of each.

mod select;
mod uri;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use signal_protocol::Enforcement;

use crate::relay::ConsoleSettings;

pub use select::{RelaySelection, Standing, Standings};
pub use uri::{IceUri, UriError};

/// Most URLs per answer: each further one slows candidate gathering.
pub const MAX_URIS: usize = 4;

/// Name of a region or relay: 1–32 bytes of `a–z A–Z 0–9 . _ -`.
///
/// Both appear as metric labels and log fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// A text that is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no name: write 1 to 32 letters, digits, dots, underscores or hyphens")]
pub struct InvalidName;

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fits = (1..=32).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.into())).ok_or(InvalidName)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One TURN server.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Unique among all relays.
    pub name: Name,
    /// `turn:` and `turns:` URLs in the order in which clients should try them.
    pub uris: Vec<IceUri>,
    /// Share of the region's clients, relative to the other weights.
    pub weight: NonZeroU32,
    /// Whether the relay checks the expiry on allocation only, or also later.
    pub enforcement: Enforcement,
    /// Admin console that can close allocations.
    pub console: Option<ConsoleSettings>,
}

/// Reasons why URLs form no relay or pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Some URLs are invalid.
    #[error("{}", .0.join("; "))]
    Uris(Vec<String>),
    /// No `turn:` or `turns:` URL.
    #[error("it names no relay: write turn:HOST:3478?transport=udp")]
    NoRelay,
    /// More than [`MAX_URIS`].
    #[error("it has more than {MAX_URIS} URLs, and more only slow gathering")]
    TooMany,
}

impl Relay {
    /// Creates a relay from its URLs, sorted by transport: UDP, TCP, TLS.
    ///
    /// # Errors
    /// Without a `turn:` or `turns:` URL, or with more than [`MAX_URIS`].
    pub fn new(name: Name, mut uris: Vec<IceUri>) -> Result<Self, PoolError> {
        uris.retain(IceUri::is_turn);
        uris.sort_by_key(IceUri::transport_rank);
        match uris.len() {
            0 => Err(PoolError::NoRelay),
            1..=MAX_URIS => {
                let enforcement = Enforcement::Allocate;
                let (weight, console) = (NonZeroU32::MIN, None);
                Ok(Self { name, uris, weight, enforcement, console })
            }
            _ => Err(PoolError::TooMany),
        }
    }
}

/// The relays of one region.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The name that clients select it by.
    pub region: Name,
    /// Countries served, as ISO 3166-1 alpha-2 codes in upper case.
    pub countries: Vec<String>,
    /// Region that takes over when no relay here works.
    pub fallback: Option<Name>,
    /// `stun:` and `stuns:` URLs, which need no credential.
    pub stun: Vec<IceUri>,
    /// At least one.
    pub relays: Vec<Relay>,
}

impl Pool {
    /// Parses the comma-separated URLs of a single relay: at most [`MAX_URIS`] in total.
    ///
    /// # Errors
    /// Every fault of a single URL; without those, a wrong number of URLs.
    pub fn parse(region: &Name, text: &str) -> Result<Self, PoolError> {
        let uris = parse_uris(text.split(','))?;
        if uris.len() > MAX_URIS {
            return Err(PoolError::TooMany);
        }
        let (relays, stun): (Vec<_>, Vec<_>) = uris.into_iter().partition(IceUri::is_turn);
        let relay = Relay::new(region.clone(), relays)?;
        let (countries, fallback) = (Vec::new(), None);
        Ok(Self { region: region.clone(), countries, fallback, stun, relays: vec![relay] })
    }
}

/// Parses URLs; empty texts are skipped.
///
/// # Errors
/// [`PoolError::Uris`] with the faults of all of them.
pub fn parse_uris<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<IceUri>, PoolError> {
    let (mut uris, mut faults) = (Vec::new(), Vec::new());
    for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
        match text.parse::<IceUri>() {
            Ok(uri) => uris.push(uri),
            Err(error) => faults.push(format!("{text:?} {error}")),
        }
    }
    if faults.is_empty() { Ok(uris) } else { Err(PoolError::Uris(faults)) }
}

/// All regions in the order of the settings.
#[derive(Clone, Debug)]
pub struct Pools {
    pools: Vec<Pool>,
    default: usize,
}

/// The requested region does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such region; the regions are: {known}")]
pub struct UnknownRegion {
    known: String,
}

/// Index of a region in [`Pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Region(usize);

impl Pools {
    /// Combines regions; the first is the default.
    ///
    /// # Panics
    /// Without any region.
    #[must_use]
    pub fn new(pools: Vec<Pool>) -> Self {
        assert!(!pools.is_empty(), "there is a region to choose");
        Self { pools, default: 0 }
    }

    /// Sets the region of callers that request none.
    ///
    /// # Errors
    /// When there is no such region.
    pub fn with_default(mut self, region: &str) -> Result<Self, UnknownRegion> {
        self.default = self.region(Some(region), None)?.0;
        Ok(self)
    }

    /// Returns the region named by `chosen`; else that of `hint`, a region or country set by a
    /// proxy; else the default.
    ///
    /// # Errors
    /// When `chosen` is unknown. An unknown hint is not an error, because the caller does not
    /// control it.
    pub fn region(
        &self,
        chosen: Option<&str>,
        hint: Option<&str>,
    ) -> Result<Region, UnknownRegion> {
        if let Some(chosen) = chosen {
            return self.region_named(chosen).ok_or_else(|| self.unknown_region());
        }
        Ok(hint.and_then(|hint| self.region_for_hint(hint)).unwrap_or(Region(self.default)))
    }

    fn region_named(&self, name: &str) -> Option<Region> {
        self.pools.iter().position(|pool| pool.region.as_str() == name).map(Region)
    }

    fn region_for_hint(&self, hint: &str) -> Option<Region> {
        let serves =
            |pool: &Pool| pool.countries.iter().any(|country| country.eq_ignore_ascii_case(hint));
        self.region_named(hint).or_else(|| self.pools.iter().position(serves).map(Region))
    }

    fn unknown_region(&self) -> UnknownRegion {
        let known: Vec<_> = self.pools.iter().map(|pool| pool.region.as_str()).collect();
        UnknownRegion { known: known.join(", ") }
    }

    /// The relays of all regions; [`Standings`] indexes them in this order.
    pub fn relays(&self) -> impl Iterator<Item = &Relay> {
        self.pools.iter().flat_map(|pool| &pool.relays)
    }

    /// The regions, in the order of the settings.
    pub fn iter(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Pool, PoolError> {
        Pool::parse(&"default".parse().unwrap(), text)
    }

    #[test]
    fn a_line_of_urls_has_a_relay_and_at_most_four_urls() {
        let error = |text| parse(text).unwrap_err();
        assert_eq!(error("turn:a,turn:b,turn:c,turn:d,turn:e"), PoolError::TooMany);
        assert_eq!(error("turn:a,turn:b,turn:c,turn:d,stun:e"), PoolError::TooMany);
        assert_eq!(error("stun:a"), PoolError::NoRelay);
        assert_eq!(error(""), PoolError::NoRelay);
    }

    #[test]
    fn urls_are_tried_in_the_order_udp_tcp_tls() {
        let pool = parse("turns:a:443?transport=tcp,turn:a?transport=tcp, stun:b,turn:a").unwrap();
        let texts = |uris: &[IceUri]| uris.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            texts(&pool.relays[0].uris),
            ["turn:a", "turn:a?transport=tcp", "turns:a:443?transport=tcp"]
        );
        assert_eq!(texts(&pool.stun), ["stun:b"]);
    }

    #[test]
    fn every_url_that_is_wrong_is_named() {
        let error = parse("turn:a,http://b,turn:c/").unwrap_err().to_string();
        assert!(error.contains("\"http://b\" begins with"), "{error}");
        assert!(error.contains("\"turn:c/\" may not have"), "{error}");
    }

    #[test]
    fn a_region_is_chosen_by_name_then_by_hint_then_by_default() {
        let pool = |region: &str, countries: &[&str]| Pool {
            countries: countries.iter().map(ToString::to_string).collect(),
            ..Pool::parse(&region.parse().unwrap(), "turn:a").unwrap()
        };
        let pools = Pools::new(vec![pool("us", &["US"]), pool("eu", &["DE", "FR"])]);
        let region = |chosen, hint| pools.region(chosen, hint).map(|Region(at)| at);
        assert_eq!(region(Some("eu"), Some("US")), Ok(1));
        assert_eq!(region(None, Some("fr")), Ok(1));
        assert_eq!(region(None, Some("eu")), Ok(1));
        assert_eq!(region(None, Some("XX")), Ok(0));
        assert_eq!(region(None, None), Ok(0));
        let nowhere = region(Some("mars"), None).unwrap_err();
        assert!(nowhere.to_string().ends_with("us, eu"), "{nowhere}");
        assert!(pools.with_default("mars").is_err());
    }
}
