//! A quick look whether memory is still what the table says: a few thousand connections, in builds of any kind.

use crate::measure::idle::{Idle, idle};
use crate::problem::Problem;
use crate::servers::{Fleet, Programs, Subject};

/// Idle connections of each server.
const CONNECTIONS: u32 = 2_000;

/// The most that a connection of ours may take after an offer, in KiB: half as much again as an unoptimised build
/// takes (3.6). A buffer per connection that grew with the offer and stayed would be 4 KiB more, one of a usual size 128.
const CONNECTION_AT_MOST: f64 = 5.5;

/// The most memory that a node over Redis may have allocated before the first connection, in MiB: half as much again
/// as it takes (9.6). A ring of fred's event channels that grew from 4,096 slots to 65,536 would be 90 more.
const ALLOCATED_AT_MOST: f64 = 14.0;

/// The most resident memory of an optimised node then, in MiB. An unoptimised one has three times as much code.
const BASE_AT_MOST: f64 = 24.0;

const MIB: f64 = 1024.0 * 1024.0;

/// At least so many of ours in the memory of one of socket.io's: 60 % of what docs/BENCHMARKS.md has.
const AT_LEAST: f64 = 6.0;

/// Measures ours and socket.io, prints what was measured, and fails where it is too much.
pub(crate) async fn memory(programs: &Programs) -> Result<(), Problem> {
    let ours = measure(Subject::Signal, programs).await?;
    let theirs = measure(Subject::SocketIo, programs).await?;
    let factor = theirs.after_offer / ours.after_offer;
    println!(
        "{:.2} KiB per idle connection after an offer (at most {CONNECTION_AT_MOST}), \
         socket.io {:.1} KiB: {factor:.1} times as much (at least {AT_LEAST})",
        ours.after_offer, theirs.after_offer
    );
    let (allocated, base) = (ours.base.anonymous / MIB, ours.base.resident / MIB);
    println!(
        "{base:.1} MiB before the first connection (at most {BASE_AT_MOST} when optimised), of it \
         {allocated:.1} MiB allocated (at most {ALLOCATED_AT_MOST}); socket.io {:.1} MiB",
        theirs.base.resident / MIB
    );
    let base_has_grown =
        allocated > ALLOCATED_AT_MOST || (base > BASE_AT_MOST && cfg!(not(debug_assertions)));
    let has_grown = ours.after_offer > CONNECTION_AT_MOST || base_has_grown;
    if has_grown || factor < AT_LEAST {
        return Err(Problem::Grown);
    }
    Ok(())
}

async fn measure(subject: Subject, programs: &Programs) -> Result<Idle, Problem> {
    let fleet = Fleet::start(subject, 1, programs).await?;
    idle(&fleet, CONNECTIONS).await
}
