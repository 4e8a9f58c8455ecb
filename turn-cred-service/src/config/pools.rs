//! Reads the relays from `TURN_CRED_URIS` (one relay) or from `[[pools]]` of the file.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;
use service_kit::settings::Reader;
use signal_protocol::Enforcement;

use crate::pool::{Name, Pool, PoolError, Pools, Relay, parse_uris};
use crate::relay::ConsoleSettings;

/// Region of the relay in `TURN_CRED_URIS`.
const DEFAULT_REGION: &str = "default";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolTable {
    region: String,
    #[serde(default)]
    countries: Vec<String>,
    fallback: Option<String>,
    #[serde(default)]
    stun: Vec<String>,
    #[serde(default)]
    relays: Vec<RelayTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelayTable {
    name: Option<String>,
    uris: Vec<String>,
    weight: Option<NonZeroU32>,
    enforcement: Option<Enforcement>,
    console: Option<SocketAddr>,
    console_password_file: Option<PathBuf>,
}

/// Reads the relays from either place; `None` if there are none, or after a fault.
pub(super) fn read_pools(reader: &mut Reader<'_>) -> Option<Pools> {
    let line = reader.optional_parse::<SinglePool>("uris");
    let tables: Vec<PoolTable> = reader.tables("pools");
    if line.is_some() && !tables.is_empty() {
        reader.fault("uris", "and [[pools]] are both set: keep one");
    }
    let mut pools: Vec<Pool> = line.map(|SinglePool(pool)| pool).into_iter().collect();
    for (at, table) in tables.into_iter().enumerate() {
        match table.pool() {
            Ok(pool) => pools.push(pool),
            Err(what) => reader.table_fault("pools", at, what),
        }
    }
    check_names(reader, &pools);
    let pools = (!pools.is_empty()).then(|| Pools::new(pools))?;
    match reader.optional_text("default_region") {
        None => Some(pools),
        Some(region) => match pools.with_default(&region) {
            Ok(pools) => Some(pools),
            Err(unknown) => {
                reader.fault("default_region", format_args!("cannot be used: {unknown}"));
                None
            }
        },
    }
}

/// Reports duplicate region or relay names and fallbacks to unknown regions.
fn check_names(reader: &mut Reader<'_>, pools: &[Pool]) {
    let regions: HashSet<&Name> = pools.iter().map(|pool| &pool.region).collect();
    let (mut seen, mut relays) = (HashSet::new(), HashSet::new());
    for (at, pool) in pools.iter().enumerate() {
        if !seen.insert(&pool.region) {
            reader.table_fault(
                "pools",
                at,
                format_args!("region {} is defined twice", pool.region),
            );
        }
        if let Some(lost) = pool.fallback.as_ref().filter(|name| !regions.contains(name)) {
            reader.table_fault("pools", at, format_args!("fallback {lost} is none of the regions"));
        }
        for relay in pool.relays.iter().filter(|relay| !relays.insert(&relay.name)) {
            reader.table_fault("pools", at, format_args!("relay {} is defined twice", relay.name));
        }
    }
}

/// Parses the relay of `TURN_CRED_URIS` as a pool of one.
struct SinglePool(Pool);

impl std::str::FromStr for SinglePool {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Self, PoolError> {
        let region = DEFAULT_REGION.parse().expect("the literal is a valid name");
        Pool::parse(&region, text).map(Self)
    }
}

impl PoolTable {
    fn pool(self) -> Result<Pool, String> {
        let region = name("region", &self.region)?;
        let fallback = self.fallback.map(|text| name("fallback", &text)).transpose()?;
        let stun = parse_uris(self.stun.iter().map(String::as_str)).map_err(|e| e.to_string())?;
        if let Some(relay) = stun.iter().find(|uri| uri.is_turn()) {
            return Err(format!("{relay} belongs in [[pools.relays]]: it needs a credential"));
        }
        if self.relays.is_empty() {
            return Err("has no relay: write [[pools.relays]] below it".to_owned());
        }
        let countries = self.countries.into_iter().map(country).collect::<Result<_, _>>()?;
        let relays = self.relays.into_iter().zip(1..);
        let relays = relays.map(|(table, number)| table.relay(&region, number));
        Ok(Pool { relays: relays.collect::<Result<_, _>>()?, region, countries, fallback, stun })
    }
}

impl RelayTable {
    fn relay(self, region: &Name, number: usize) -> Result<Relay, String> {
        let text = self.name.unwrap_or_else(|| format!("{region}-{number}"));
        let name = name("name", &text)?;
        let in_relay = |error: PoolError| format!("relay {name}: {error}");
        let uris = parse_uris(self.uris.iter().map(String::as_str)).map_err(in_relay)?;
        if let Some(stun) = uris.iter().find(|uri| !uri.is_turn()) {
            return Err(format!("relay {name}: {stun} is no relay and belongs in stun"));
        }
        let relay = Relay::new(name.clone(), uris).map_err(in_relay)?;
        Ok(Relay {
            weight: self.weight.unwrap_or(relay.weight),
            enforcement: self.enforcement.unwrap_or(relay.enforcement),
            console: match (self.console, self.console_password_file) {
                (Some(address), Some(password_file)) => {
                    Some(ConsoleSettings { address, password_file })
                }
                (None, None) => None,
                _ => {
                    return Err(format!(
                        "relay {name}: console and console_password_file go together"
                    ));
                }
            },
            ..relay
        })
    }
}

fn name(what: &str, text: &str) -> Result<Name, String> {
    text.parse().map_err(|error| format!("{what} {text:?} {error}"))
}

fn country(text: String) -> Result<String, String> {
    let is_code = text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase());
    is_code
        .then_some(text)
        .ok_or_else(|| "countries are two upper-case letters, such as DE".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use service_kit::settings::Environment;

    use super::super::SCHEMA;
    use super::*;

    fn read(text: &str) -> Result<Pools, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, text).unwrap();
        let arguments = ["x", "--config", path.to_str().unwrap()];
        let matches = SCHEMA.command().try_get_matches_from(arguments).unwrap();
        let resolved = SCHEMA.resolve(&matches, &Environment::default());
        let mut reader = resolved.reader();
        let pools = read_pools(&mut reader);
        reader.finish().map_err(|faults| faults.to_string()).map(|()| pools.unwrap())
    }

    const TWO: &str = r#"
default_region = "us"
[[pools]]
region = "eu"
countries = ["DE", "FR"]
fallback = "us"
stun = ["stun:eu.example.org"]
[[pools.relays]]
uris = ["turns:eu.example.org:443?transport=tcp", "turn:eu.example.org"]
weight = 3
[[pools.relays]]
name = "eu-new"
uris = ["turn:new.example.org"]
enforcement = "strict"
[[pools]]
region = "us"
[[pools.relays]]
uris = ["turn:us.example.org"]
"#;

    #[test]
    fn regions_and_their_relays_stand_in_the_file() {
        let pools = read(TWO).unwrap();
        let relays: Vec<_> = pools.relays().map(|relay| relay.name.as_str()).collect();
        assert_eq!(relays, ["eu-1", "eu-new", "us-1"]);
        let relay = pools.relays().next().unwrap();
        assert_eq!((relay.weight.get(), relay.uris[0].as_str()), (3, "turn:eu.example.org"));
        assert_eq!(pools.region(None, Some("FR")), pools.region(Some("eu"), None));
        assert_eq!(pools.region(None, None), pools.region(Some("us"), None));
    }

    #[test]
    fn a_fault_in_the_relays_names_its_table() {
        for (from, to, fault) in [
            ("\"us\"\n[[pools]]", "\"mars\"\n[[pools]]", "the regions are: eu, us"),
            ("fallback = \"us\"", "fallback = \"ap\"", "[[pools]] 1: fallback ap is none of"),
            ("region = \"us\"", "region = \"eu\"", "[[pools]] 2: region eu is defined twice"),
            ("\"eu-new\"", "\"eu-1\"", "[[pools]] 1: relay eu-1 is defined twice"),
            ("\"DE\"", "\"de\"", "[[pools]] 1: countries are two upper-case letters"),
            ("stun:eu", "turn:eu", "belongs in [[pools.relays]]"),
            ("\"turn:new", "\"stun:new", "relay eu-new: stun:new.example.org is no relay"),
            ("\"turn:us", "\"http:us", "relay us-1: \"http:us.example.org\" begins with none"),
            ("weight = 3", "weight = 0", "[[pools]] 1:"),
            ("weight = 3", "wieght = 3", "unknown field `wieght`"),
        ] {
            assert!(TWO.contains(from), "{from}");
            let faults = read(&TWO.replace(from, to)).unwrap_err();
            assert!(faults.contains(fault), "{fault} in {faults}");
        }
        let both = format!("uris = \"turn:a\"\n{TWO}");
        assert!(read(&both).unwrap_err().contains("are both set: keep one"));
    }
}
