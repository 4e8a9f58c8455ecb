//! A quick look whether memory is still what the table says: a few thousand connections, in builds of any kind.

use crate::measure::idle::{Idle, idle};
use crate::problem::Problem;
use crate::servers::{Fleet, Programs, Subject};

/// Idle connections of each.
const CONNECTIONS: u32 = 2_000;

/// The most that one of ours may take after an offer, in KiB: half as much again as an unoptimised build takes (3.6). A
/// buffer per connection that grew with the offer and stayed would be 4 KiB more, one of a usual size 128.
const AT_MOST: f64 = 5.5;

/// At least so many of ours in the memory of one of socket.io's: 60 % of what docs/BENCHMARKS.md has.
const AT_LEAST: f64 = 6.0;

/// Measures ours and socket.io, says what came of it, and fails where it is too much.
pub(crate) async fn memory(programs: &Programs) -> Result<(), Problem> {
    let ours = after_offer(Subject::Signal, programs).await?;
    let theirs = after_offer(Subject::SocketIo, programs).await?;
    let factor = theirs / ours;
    println!(
        "{ours:.2} KiB per idle connection after an offer (at most {AT_MOST}), \
         socket.io {theirs:.1} KiB: {factor:.1} times as much (at least {AT_LEAST})"
    );
    if ours > AT_MOST || factor < AT_LEAST {
        return Err(Problem::Grown);
    }
    Ok(())
}

async fn after_offer(subject: Subject, programs: &Programs) -> Result<f64, Problem> {
    let fleet = Fleet::start(subject, 1, programs).await?;
    let Idle { after_offer, .. } = idle(&fleet, CONNECTIONS).await?;
    Ok(after_offer)
}
