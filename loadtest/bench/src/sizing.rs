//! How many nodes and Redis shards a number of clients takes, from what was measured (docs/SCALING.md).

use std::fmt::Write as _;

use crate::report::number;

/// What one machine showed, on one core; docs/BENCHMARKS.md has the runs.
struct Measured {
    /// KiB of a node, and of the kernel, for a connection.
    connection: f64,
    /// µs of a node for each kept signal, both nodes of a call together.
    signal: f64,
    /// µs of Redis for each kept signal, where there is one Redis, and where it is one of several shards.
    signal_redis: f64,
    signal_shard: f64,
    /// µs of node and Redis to take a client in, at thousands a second; half of it is planned for either.
    join: f64,
    /// Bytes of Redis for a room and its members.
    room: f64,
    /// Bytes of Redis for a kept signal of 300 bytes.
    kept: f64,
}

const MEASURED: Measured = Measured {
    connection: 6.7,
    signal: 31.0,
    signal_redis: 12.5,
    signal_shard: 19.0,
    join: 230.0,
    room: 5_290.0,
    kept: 421.0,
};

/// Parts of a core, and of memory, that are planned with; the rest is for bursts, storms and neighbours.
const PLANNED: f64 = 0.5;
/// Seconds for which a room's log is kept.
const LOG_AGE: f64 = 120.0;
/// Sockets of a node that dies have to fit elsewhere within the grace, so a node is no larger than this.
const MOST_SOCKETS: f64 = 50_000.0;

/// What is to be carried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: f64,
    /// Members of a room.
    pub(crate) members: f64,
    /// Kept signals that set one pair up: offer, answer and candidates of both sides.
    pub(crate) signals_per_pair: f64,
    /// Seconds that a client stays in a room.
    pub(crate) stay: f64,
    /// Cores and GiB of one node.
    pub(crate) cores: f64,
    pub(crate) memory: f64,
}

#[derive(Clone, Debug)]
pub(crate) struct Size {
    pub(crate) signals_per_second: f64,
    pub(crate) joins_per_second: f64,
    pub(crate) nodes: f64,
    /// Which part of a node is the limit.
    pub(crate) limit: &'static str,
    pub(crate) shards: f64,
    pub(crate) redis_gib: f64,
}

pub(crate) fn size(load: &Load) -> Size {
    let joins_per_second = load.clients / load.stay;
    let signals_per_second = joins_per_second * (load.members - 1.0) / 2.0 * load.signals_per_pair;
    let cores =
        |signal: f64| (signals_per_second * signal + joins_per_second * MEASURED.join / 2.0) / 1e6;
    let limits = [
        ("sockets", load.clients / MOST_SOCKETS),
        ("memory", load.clients * MEASURED.connection / 1024.0 / 1024.0 / (load.memory * PLANNED)),
        ("CPU", cores(MEASURED.signal) / (load.cores * PLANNED)),
    ];
    let (limit, nodes) = limits.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
    let shards = |signal| (cores(signal) / PLANNED).ceil().max(1.0);
    let alone = shards(MEASURED.signal_redis);
    let bytes =
        load.clients / load.members * MEASURED.room + signals_per_second * LOG_AGE * MEASURED.kept;
    Size {
        signals_per_second,
        joins_per_second,
        // One more, so that any of them may be lost or restarted.
        nodes: nodes.ceil().max(1.0) + 1.0,
        limit,
        shards: if alone > 1.0 { shards(MEASURED.signal_shard) } else { alone },
        redis_gib: bytes / f64::from(1 << 30),
    }
}

/// A table of these loads.
pub(crate) fn table(loads: &[Load]) -> String {
    let mut text = "| clients | joins/s | signals/s | nodes | limited by | Redis shards | Redis memory, GiB |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for load in loads {
        let size = size(load);
        let _ = writeln!(
            text,
            "| {:.0} | {} | {} | {:.0} | {} | {:.0} | {} |",
            load.clients,
            number(size.joins_per_second),
            number(size.signals_per_second),
            size.nodes,
            size.limit,
            size.shards,
            number(size.redis_gib)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(clients: f64) -> Load {
        let (members, signals_per_pair, stay) = (2.0, 42.0, 600.0);
        Load { clients, members, signals_per_pair, stay, cores: 4.0, memory: 8.0 }
    }

    #[test]
    fn ten_times_the_clients_take_about_ten_times_the_nodes() {
        let [small, large] = [1e6, 1e7].map(|clients| size(&load(clients)).nodes);
        assert!((9.0..=10.5).contains(&(large / small)), "{small} {large}");
    }

    #[test]
    fn a_few_clients_take_one_node_more_than_is_needed() {
        let size = size(&load(100.0));
        assert!((size.nodes - 2.0).abs() < 1e-9 && (size.shards - 1.0).abs() < 1e-9);
    }

    #[test]
    fn larger_rooms_take_more_signals_for_as_many_clients() {
        let pairs = size(&load(1e6)).signals_per_second;
        let eights = size(&Load { members: 8.0, ..load(1e6) }).signals_per_second;
        assert!((eights / pairs - 7.0).abs() < 1e-9);
    }
}
