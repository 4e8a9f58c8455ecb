//! Which server of a cluster holds which slots, as `CLUSTER SLOTS` tells it.

use std::collections::HashMap;

use fred::types::Value;
use service_kit::redis_access::Server;

/// The primaries of a cluster, and their slots: first, last and the server of each range, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct SlotMap(Vec<(u16, u16, Server)>);

impl SlotMap {
    /// Reads an answer of the server `asked`, which may leave its own host out.
    pub(super) fn read(slots: Value, asked: &Server) -> Self {
        let ranges = slots.into_array().into_iter().filter_map(|range| read_range(range, asked));
        let mut ranges: Vec<_> = ranges.collect();
        ranges.sort_by_key(|(first, ..)| *first);
        Self(ranges)
    }

    /// Returns the map that most of the answers agree on; of equally many the first.
    pub(super) fn of_most(answers: &[Self]) -> Option<Self> {
        let mut votes: HashMap<&Self, usize> = HashMap::new();
        for answer in answers.iter().filter(|answer| !answer.0.is_empty()) {
            *votes.entry(answer).or_default() += 1;
        }
        let most = votes.values().copied().max()?;
        answers.iter().find(|answer| votes.get(answer) == Some(&most)).cloned()
    }

    /// Returns the server that holds a slot.
    pub(super) fn server(&self, slot: u16) -> Option<&Server> {
        let range = self.0.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, server)| server)
    }

    /// Returns every server once.
    pub(super) fn servers(&self) -> Vec<Server> {
        let mut servers: Vec<Server> = Vec::new();
        for (_, _, server) in &self.0 {
            if !servers.contains(server) {
                servers.push(server.clone());
            }
        }
        servers
    }
}

/// Reads `[first, last, [host, port, …], …]`.
fn read_range(range: Value, asked: &Server) -> Option<(u16, u16, Server)> {
    let mut parts = range.into_array().into_iter();
    let mut number = || u16::try_from(parts.next()?.as_u64()?).ok();
    let (first, last) = (number()?, number()?);
    let mut primary = parts.next()?.into_array().into_iter();
    let host = primary.next()?.into_string().filter(|host| !host.is_empty() && host != "?");
    let port = u16::try_from(primary.next()?.as_u64()?).ok()?;
    Some((first, last, Server { host: host.unwrap_or_else(|| asked.host.clone()), port }))
}

/// Where a server sends the caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Redirection {
    /// The slot is elsewhere for good.
    Moved,
    /// The slot is on the move, and this key has moved already, to that server.
    Ask(Server),
}

impl Redirection {
    /// Reads the words of an error: `MOVED <slot> <host>:<port>` or `ASK …`.
    pub(super) fn read(error: &str) -> Option<Self> {
        let mut words =
            error.split_whitespace().skip_while(|word| !matches!(*word, "MOVED" | "ASK"));
        let kind = words.next()?;
        let (host, port) = words.nth(1)?.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(if kind == "MOVED" { Self::Moved } else { Self::Ask(Server { host, port }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.to_owned(), port }
    }

    fn map(ranges: &[(u16, u16, &str)]) -> SlotMap {
        SlotMap(ranges.iter().map(|(first, last, host)| (*first, *last, server(host, 1))).collect())
    }

    #[test]
    fn a_server_that_leaves_its_own_host_out_is_the_one_that_was_asked() {
        let node =
            |host: &str, port: i64| Value::Array(vec![host.into(), port.into(), "id".into()]);
        let range =
            |first: i64, last: i64, node| Value::Array(vec![first.into(), last.into(), node]);
        let slots = Value::Array(vec![
            range(5_461, 16_383, node("2001:db8::2", 7_001)),
            range(0, 5_460, node("", 7_000)),
        ]);
        let map = SlotMap::read(slots, &server("seed", 7_000));
        assert_eq!(map.server(5_460), Some(&server("seed", 7_000)));
        assert_eq!(map.server(5_461), Some(&server("2001:db8::2", 7_001)));
        assert_eq!(map.servers().len(), 2);
    }

    #[test]
    fn what_most_servers_say_counts_and_an_empty_map_never() {
        let (old, new) = (map(&[(0, 16_383, "a")]), map(&[(0, 16_383, "b")]));
        let answers = [old.clone(), new.clone(), new.clone(), SlotMap::default()];
        assert_eq!(SlotMap::of_most(&answers), Some(new.clone()));
        assert_eq!(SlotMap::of_most(&[old.clone(), new]), Some(old));
        assert_eq!(SlotMap::of_most(&[SlotMap::default()]), None);
    }

    #[test]
    fn a_redirection_is_read_from_the_words_of_redis() {
        let ask = Redirection::read("Cluster Error: ASK 903 [2001:db8::1]:7000");
        assert_eq!(ask, Some(Redirection::Ask(server("2001:db8::1", 7_000))));
        let moved = Redirection::read("MOVED 903 10.0.0.1:7000");
        assert_eq!(moved, Some(Redirection::Moved));
        for other in ["TRYAGAIN Multiple keys request during rehashing of slot", "ASK", "MOVED 1 x"]
        {
            assert_eq!(Redirection::read(other), None, "{other}");
        }
    }
}
