//! How costs grow, as tables: more nodes, more rooms, many clients at once.

use std::fmt::Write as _;
use std::time::Duration;

use crate::measure::scale;
use crate::measure::storms;
use crate::problem::Problem;
use crate::report::number;
use crate::servers::Programs;
use crate::stats::spread;

/// How often each is measured; the median is told.
const ROUNDS: usize = 3;
/// Nodes of the clusters that are measured.
const NODES: [usize; 4] = [1, 2, 4, 8];
/// Idle rooms beside which a signal is measured.
const ROOMS: [u32; 3] = [0, 10_000, 100_000];
/// Joins a second that are tried, until one is not sustained.
const JOINS: [u32; 7] = [250, 500, 1_000, 1_500, 2_000, 3_000, 4_000];
/// Clients of a node that dies.
const RETURNING: u32 = 9_000;
/// Calls whose signals are kept while Redis is looked at.
const CALLS: u32 = 500;

/// Measures all of it, and returns the tables.
pub(crate) async fn measure(programs: &Programs, window: Duration) -> Result<String, Problem> {
    let mut text = nodes(programs, window).await?;
    text += &rooms(programs, window).await?;
    text += &joins(programs).await?;
    text += &returns(programs).await?;
    Ok(text)
}

fn print_line(line: &str) {
    eprintln!("  {line}");
}

async fn nodes(programs: &Programs, window: Duration) -> Result<String, Problem> {
    let mut text = "| nodes | store | CPU per signal: nodes, µs | Redis, µs | of one node |\n|---|---|---|---|---|\n".to_owned();
    for (cluster, store) in [(false, "one Redis"), (true, "Redis Cluster of 3")] {
        let mut one = None;
        for count in NODES {
            let (mut nodes, mut redis) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let reading = scale::nodes(programs, count, cluster, window).await?;
                nodes.push(reading.nodes);
                redis.push(reading.redis);
            }
            let [nodes, redis] = [nodes, redis].map(|values| median(&values));
            let first = *one.get_or_insert(nodes + redis);
            let of_one = number((nodes + redis) / first);
            let row = format!(
                "| {count} | {store} | {} | {} | {of_one} × |",
                number(nodes),
                number(redis)
            );
            print_line(&row);
            let _ = writeln!(text, "{row}");
        }
    }
    Ok(text)
}

fn median(values: &[f64]) -> f64 {
    spread(values).map(|spread| spread.median).unwrap_or_default()
}

async fn rooms(programs: &Programs, window: Duration) -> Result<String, Problem> {
    let mut text = "\n| idle rooms | CPU per signal, µs | of none | Redis per idle room, bytes | nodes per idle room, KiB |\n|---|---|---|---|---|\n".to_owned();
    let mut none = None;
    for count in ROOMS {
        let mut cpu = Vec::new();
        let mut last = None;
        for _ in 0..ROUNDS {
            let rooms = scale::rooms(programs, count, window).await?;
            cpu.push(rooms.signal.cpu());
            last = Some(rooms);
        }
        let Some(rooms) = last else { continue };
        let cpu = median(&cpu);
        let of_none = number(cpu / *none.get_or_insert(cpu));
        let row = format!(
            "| {count} | {} | {of_none} × | {} | {} |",
            number(cpu),
            number(rooms.redis_bytes),
            number(rooms.node_kib)
        );
        print_line(&row);
        let _ = writeln!(text, "{row}");
    }
    let kept = scale::kept(programs, CALLS).await?;
    let _ = writeln!(text, "\nRedis per kept signal of 300 bytes: {} bytes.", number(kept));
    Ok(text)
}

async fn joins(programs: &Programs) -> Result<String, Problem> {
    let mut text = "\n| joins a second, 3 s | p99, ms | CPU for each, nodes and Redis, µs | sustained |\n|---|---|---|---|\n".to_owned();
    for rate in JOINS {
        let joins = storms::joins(programs, rate).await?;
        let sustained = if joins.sustained { "yes" } else { "no" };
        let row = format!(
            "| {} | {} | {} | {sustained} |",
            number(joins.rate),
            number(joins.p99),
            number(joins.cpu)
        );
        print_line(&row);
        let _ = writeln!(text, "{row}");
        if !joins.sustained {
            break;
        }
    }
    Ok(text)
}

async fn returns(programs: &Programs) -> Result<String, Problem> {
    let returns = storms::returns(programs, RETURNING).await?;
    let row = format!(
        "\n{} clients of a node that was killed, back on the other one within a jitter of a second: p99 {} ms, the \
         last after {} ms, {} µs of CPU for each (node and Redis, one core).\n",
        returns.clients,
        number(returns.p99),
        number(returns.last),
        number(returns.cpu)
    );
    print_line(&row);
    Ok(row)
}
