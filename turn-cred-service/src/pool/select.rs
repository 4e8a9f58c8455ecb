//! Selects the relays of one caller.
//!
//! Weighted rendezvous hashing (Thaler and Ravishankar, 1998): each relay has a score computed from
//! the caller's key and its own name, and the best score wins. The same caller gets the same relay
//! again, and a relay that fails moves only its own callers.

use sha2::{Digest as _, Sha256};
use signal_protocol::Enforcement;

use super::{IceUri, MAX_URIS, Name, Pools, Region, Relay};

/// Health of a URL, from best to worst. The order counts: [`Standing::is_offered`] and the minimum
/// in [`Standings::of_relay`] compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// The last probe succeeded, or there was none.
    Healthy,
    /// The last probe failed; others are preferred.
    Suspect,
    /// Gets no new clients; existing allocations continue.
    Draining,
    /// Several probes failed.
    Down,
}

impl Standing {
    /// Returns whether clients may be sent to this URL.
    #[must_use]
    pub fn is_offered(self) -> bool {
        self <= Self::Suspect
    }
}

/// Standing of every URL of every relay, in the order of [`Pools::relays`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standings(Vec<Vec<Standing>>);

impl Standings {
    /// Starts with every URL healthy.
    #[must_use]
    pub fn healthy(pools: &Pools) -> Self {
        Self(pools.relays().map(|relay| vec![Standing::Healthy; relay.uris.len()]).collect())
    }

    /// Sets the standing of a URL.
    ///
    /// # Panics
    /// When there is no such relay or URL.
    pub fn set(&mut self, relay: usize, uri: usize, standing: Standing) {
        self.0[relay][uri] = standing;
    }

    /// Marks a relay as draining; URLs that are down stay down.
    pub(crate) fn set_draining(&mut self, relay: usize) {
        self.0[relay].iter_mut().for_each(|standing| *standing = Standing::Draining.max(*standing));
    }

    /// Returns whether a URL that was offered in `before` no longer is.
    pub(crate) fn has_withdrawn_since(&self, before: &Self) -> bool {
        let pairs = self.0.iter().flatten().zip(before.0.iter().flatten());
        pairs.into_iter().any(|(now, before)| before.is_offered() && !now.is_offered())
    }

    /// Returns the standing of a relay's best URL.
    ///
    /// # Panics
    /// When there is no such relay.
    #[must_use]
    pub fn of_relay(&self, relay: usize) -> Standing {
        self.0[relay].iter().copied().min().unwrap_or(Standing::Down)
    }

    pub(crate) fn of_uri(&self, relay: usize, uri: usize) -> Standing {
        self.0[relay][uri]
    }
}

/// The URLs offered to one caller: [`MAX_URIS`] at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelaySelection {
    /// The caller's region, which the relays may not be in.
    pub region: Name,
    /// STUN URLs, as far as [`MAX_URIS`] leaves space.
    pub stun: Vec<IceUri>,
    /// URLs that need a credential, by relay: the caller's own relay, and one to fall back on.
    pub relays: Vec<(Name, Vec<IceUri>)>,
    /// The strictest of the selected relays.
    pub enforcement: Enforcement,
    /// No relay is known to work; these are the best of those that failed.
    pub degraded: bool,
}

/// A relay with its index and standing.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    relay: &'a Relay,
    number: usize,
    standing: Standing,
}

impl Pools {
    /// Selects relays for a caller of `region`. The same `key` gets the same relays while they
    /// work.
    ///
    /// The second relay comes from another region where possible, so that a region that fails as a
    /// whole does not take both.
    #[must_use]
    pub fn select(&self, region: Region, key: &str, standings: &Standings) -> RelaySelection {
        let own = self.ranked(region.0, key, standings);
        let others: Vec<Candidate<'_>> =
            self.fallbacks(region.0).flat_map(|pool| self.ranked(pool, key, standings)).collect();
        let is_usable = |candidate: &&Candidate<'_>| candidate.standing.is_offered();
        let working = own.iter().chain(&others).find(is_usable);
        let first = working.or(own.first()).expect("every pool has a relay");
        let is_other = |candidate: &&Candidate<'_>| candidate.number != first.number;
        let second = others.iter().chain(&own).filter(is_usable).find(is_other);
        let mut selection = self.build_selection(region.0, *first, second.copied(), standings);
        selection.degraded = working.is_none();
        selection
    }

    fn build_selection(
        &self,
        region: usize,
        first: Candidate<'_>,
        second: Option<Candidate<'_>>,
        standings: &Standings,
    ) -> RelaySelection {
        let pool = &self.pools[region];
        let limit = MAX_URIS - usize::from(second.is_some());
        let mut relays = vec![(first.relay.name.clone(), first.uris(standings, limit))];
        relays.extend(second.map(|second| (second.relay.name.clone(), second.uris(standings, 1))));
        let used: usize = relays.iter().map(|(_, uris)| uris.len()).sum();
        let is_strict = [Some(first), second]
            .into_iter()
            .flatten()
            .any(|candidate| candidate.relay.enforcement == Enforcement::Strict);
        RelaySelection {
            region: pool.region.clone(),
            stun: pool.stun.iter().take(MAX_URIS - used).cloned().collect(),
            relays,
            enforcement: if is_strict { Enforcement::Strict } else { Enforcement::Allocate },
            degraded: false,
        }
    }

    /// The other regions, in the order in which they take over.
    fn fallbacks(&self, region: usize) -> impl Iterator<Item = usize> {
        let named = self.pools[region].fallback.as_ref();
        let named = named.and_then(|name| self.region_named(name.as_str())).map(|Region(at)| at);
        let rest = (0..self.pools.len()).filter(move |at| Some(*at) != named);
        named.into_iter().chain(rest).filter(move |at| *at != region)
    }

    /// The relays of a region, best for `key` first. The standing outweighs the score.
    fn ranked(&self, region: usize, key: &str, standings: &Standings) -> Vec<Candidate<'_>> {
        let before: usize = self.pools[..region].iter().map(|pool| pool.relays.len()).sum();
        let mut ranked: Vec<_> = self.pools[region]
            .relays
            .iter()
            .zip(before..)
            .map(|(relay, number)| Candidate {
                relay,
                number,
                standing: standings.of_relay(number),
            })
            .collect();
        ranked.sort_by(|a, b| {
            let scores = a.relay.rendezvous_score(key).total_cmp(&b.relay.rendezvous_score(key));
            a.standing.cmp(&b.standing).then(scores)
        });
        ranked
    }
}

impl Relay {
    /// An exponentially distributed score with the weight as its rate: the smallest wins, with a
    /// probability proportional to the weight. The 0.5 keeps the logarithm finite.
    #[expect(clippy::cast_precision_loss, reason = "53 bits of the hash are what a float holds")]
    fn rendezvous_score(&self, key: &str) -> f64 {
        let hash =
            Sha256::new().chain_update(key).chain_update([0]).chain_update(self.name.as_str());
        let bytes: [u8; 8] = hash.finalize()[..8].try_into().expect("a hash has 32 bytes");
        let uniform = ((u64::from_be_bytes(bytes) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -uniform.ln() / f64::from(self.weight.get())
    }
}

impl Candidate<'_> {
    /// At most `limit` usable URLs; all URLs count as usable if the whole relay is down.
    fn uris(&self, standings: &Standings, limit: usize) -> Vec<IceUri> {
        let is_usable = |(at, _): &(usize, &IceUri)| {
            !self.standing.is_offered() || standings.of_uri(self.number, *at).is_offered()
        };
        let working = self.relay.uris.iter().enumerate().filter(is_usable);
        working.take(limit).map(|(_, uri)| uri.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::Pool;
    use super::*;

    const URLS: &str = "turn:H,turn:H?transport=tcp,turns:H:443?transport=tcp,stun:H";

    fn relay(name: &str, weight: u32) -> Relay {
        let uris = super::super::parse_uris(URLS.replace('H', name).split(',')).unwrap();
        let relay = Relay::new(name.parse().unwrap(), uris).unwrap();
        Relay { weight: weight.try_into().unwrap(), ..relay }
    }

    fn pool(region: &str, relays: &[(&str, u32)]) -> Pool {
        Pool {
            relays: relays.iter().map(|(name, weight)| relay(name, *weight)).collect(),
            ..Pool::parse(&region.parse().unwrap(), "turn:a,stun:s").unwrap()
        }
    }

    fn two_regions() -> Pools {
        Pools::new(vec![pool("eu", &[("eu-1", 1), ("eu-2", 1)]), pool("us", &[("us-1", 1)])])
    }

    fn names(selection: &RelaySelection) -> Vec<&str> {
        selection.relays.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn texts(selection: &RelaySelection) -> Vec<String> {
        selection.relays.iter().flat_map(|(_, uris)| uris).map(ToString::to_string).collect()
    }

    #[test]
    fn a_caller_gets_its_own_relay_and_one_of_the_next_region_and_four_urls_at_most() {
        let pools = two_regions();
        let selection = pools.select(Region(1), "ana", &Standings::healthy(&pools));
        assert_eq!(selection.region.as_str(), "us");
        assert_eq!(names(&selection)[0], "us-1");
        assert!(names(&selection)[1].starts_with("eu-"));
        assert_eq!(
            texts(&selection)[..3],
            ["turn:us-1", "turn:us-1?transport=tcp", "turns:us-1:443?transport=tcp"]
        );
        assert_eq!((texts(&selection).len(), selection.stun.len()), (4, 0));
        assert!(!selection.degraded);
    }

    #[test]
    fn a_single_relay_leaves_place_for_stun() {
        let pools = Pools::new(vec![pool("eu", &[("eu-1", 1)])]);
        let selection = pools.select(Region(0), "ana", &Standings::healthy(&pools));
        assert_eq!((texts(&selection).len(), selection.stun.len()), (3, 1));
    }

    #[test]
    fn callers_spread_by_weight_and_only_those_of_a_lost_relay_move() {
        let pools = Pools::new(vec![pool("eu", &[("a", 1), ("b", 2), ("c", 1)])]);
        let (healthy, mut without_a) = (Standings::healthy(&pools), Standings::healthy(&pools));
        (0..3).for_each(|uri| without_a.set(0, uri, Standing::Down));
        let mut counts: HashMap<String, u32> = HashMap::new();
        for caller in 0..4000 {
            let key = format!("caller-{caller}");
            let before = pools.select(Region(0), &key, &healthy);
            let after = pools.select(Region(0), &key, &without_a);
            *counts.entry(names(&before)[0].to_owned()).or_default() += 1;
            if names(&before)[0] == "a" {
                assert_ne!(names(&after)[0], "a");
            } else {
                assert_eq!(names(&before)[0], names(&after)[0]);
            }
        }
        assert!((1850..2150).contains(&counts["b"]), "{counts:?}");
        assert!((850..1150).contains(&counts["a"]), "{counts:?}");
    }

    #[test]
    fn a_suspect_relay_is_taken_only_where_no_other_of_its_region_is_better() {
        let pools = two_regions();
        let mut standings = Standings::healthy(&pools);
        (0..3).for_each(|uri| standings.set(0, uri, Standing::Suspect));
        for caller in 0..50 {
            let selection = pools.select(Region(0), &format!("caller-{caller}"), &standings);
            assert_eq!(names(&selection), ["eu-2", "us-1"]);
        }
        (0..3).for_each(|uri| standings.set(1, uri, Standing::Draining));
        assert_eq!(names(&pools.select(Region(0), "ana", &standings)), ["eu-1", "us-1"]);
        (0..3).for_each(|uri| standings.set(0, uri, Standing::Down));
        assert_eq!(names(&pools.select(Region(0), "ana", &standings)), ["us-1"]);
    }

    #[test]
    fn a_url_that_is_down_is_left_out_while_another_of_its_relay_works() {
        let pools = Pools::new(vec![pool("eu", &[("eu-1", 1)])]);
        let mut standings = Standings::healthy(&pools);
        standings.set(0, 0, Standing::Down);
        let selection = pools.select(Region(0), "ana", &standings);
        assert_eq!(texts(&selection), ["turn:eu-1?transport=tcp", "turns:eu-1:443?transport=tcp"]);
    }

    #[test]
    fn with_every_relay_down_the_best_one_is_offered_as_degraded() {
        let pools = two_regions();
        let mut standings = Standings::healthy(&pools);
        for relay in 0..3 {
            (0..3).for_each(|uri| standings.set(relay, uri, Standing::Down));
        }
        standings.set(1, 2, Standing::Draining);
        let selection = pools.select(Region(0), "ana", &standings);
        assert!(selection.degraded);
        assert_eq!(names(&selection), ["eu-2"]);
        assert_eq!(texts(&selection).len(), 3);
    }

    #[test]
    fn a_named_fallback_goes_before_the_order_of_the_regions() {
        let mut eu = pool("eu", &[("eu-1", 1)]);
        eu.fallback = Some("ap".parse().unwrap());
        let pools = Pools::new(vec![eu, pool("us", &[("us-1", 1)]), pool("ap", &[("ap-1", 1)])]);
        let selection = pools.select(Region(0), "ana", &Standings::healthy(&pools));
        assert_eq!(names(&selection), ["eu-1", "ap-1"]);
    }

    #[test]
    fn one_strict_relay_makes_the_offer_strict() {
        let mut eu = pool("eu", &[("eu-1", 1)]);
        eu.relays[0].enforcement = Enforcement::Strict;
        let pools = Pools::new(vec![pool("us", &[("us-1", 1)]), eu]);
        let selection = pools.select(Region(0), "ana", &Standings::healthy(&pools));
        assert_eq!(selection.enforcement, Enforcement::Strict);
    }
}
