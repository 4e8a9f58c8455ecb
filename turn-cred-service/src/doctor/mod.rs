//! Looks at every relay as clients will meet it, for an operator's first hour: can it be reached,
//! does it admit whom it shall and nobody else, and where would it let them go.
//!
//! [`run`] visits one URL after the other and does the checks of [`Check`] in their order; each
//! ends in a [`Finding`] that says what to do. A visit opens some seventy allocations at most, more
//! for large rooms, for users that nobody else is, and gives all of them back. No datagram is sent to any peer: whether
//! a relay would carry one is decided when a permission is asked for (RFC 8656 §9.2).

mod admission;
mod certificate;
mod command;
mod peers;
mod quota;
mod reach;
mod report;
mod visit;

use std::time::Duration;

use service_kit::secrets::Secrets;

use crate::pool::IceUri;
use crate::relay::Dialing;
use visit::Visit;

pub use command::{command, examine};
pub use quota::Demand;
pub use report::{Check, Finding, Report, Style, Verdict};

/// What the relays are held against.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// The secret that the relays shall share.
    pub secrets: &'a Secrets,
    /// How long the credentials live that clients are given.
    pub ttl: Duration,
    /// How the relays are approached.
    pub dialing: Dialing,
    /// Whether a relay may reach its own machine, as one on a laptop must.
    pub allow_loopback: bool,
    /// The largest call that a relay must have allocations for.
    pub demand: Demand,
    /// The clock that credentials are issued by, in Unix seconds.
    pub now: fn() -> u64,
}

/// Does every check at every URL, and tells the worst that was found.
pub async fn run(
    relays: &[(String, Vec<IceUri>)],
    terms: &Terms<'_>,
    mut report: Report<'_>,
) -> Verdict {
    for (name, uris, uri) in
        relays.iter().flat_map(|(name, uris)| uris.iter().map(move |uri| (name, uris, uri)))
    {
        report.begin(name, uri);
        let mut visit = Visit::new(uri, uris, terms);
        for check in visit.checks() {
            report.add(visit.perform(check).await);
        }
        visit.leave().await;
    }
    report.end()
}
