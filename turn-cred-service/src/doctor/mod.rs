//! Examines relays for an operator: are they reachable, do they accept exactly the right
//! credentials, which peers would they relay to.
//!
//! [`examine_relays`] runs the checks of [`Check`] at one URL after the other; each ends in a
//! [`Finding`] with advice. One URL costs up to about seventy allocations, more for large rooms,
//! all under random usernames and all released. No datagram goes to any peer: a relay already
//! decides about a peer when a permission is requested (RFC 8656 §9.2).

mod certificate;
mod cli;
mod connectivity;
mod credential_checks;
mod findings;
mod peer_permissions;
mod quota;
mod url_context;

use std::time::Duration;

use service_kit::secrets::Secrets;

use crate::pool::IceUri;
use crate::relay::ConnectOptions;
use url_context::UrlContext;

pub use cli::{command, run_command};
pub use findings::{Check, CheckResult, Finding, OutputFormat, Report};
pub use quota::CallSize;

/// Inputs and expectations of the checks.
#[derive(Clone, Debug)]
pub struct DoctorOptions<'a> {
    /// The secret that the relays should share.
    pub secrets: &'a Secrets,
    /// TTL of the credentials handed to clients.
    pub ttl: Duration,
    #[expect(missing_docs, reason = "the names say it all")]
    pub connect_options: ConnectOptions,
    /// Accept a relay that permits its own loopback, as one on a laptop must.
    pub allow_loopback: bool,
    /// The largest call that a relay must have allocations for.
    pub call_size: CallSize,
    /// Clock that expiries are computed from, in Unix seconds.
    pub now: fn() -> u64,
}

/// Runs every check at every URL and returns the worst result.
pub async fn examine_relays(
    relays: &[(String, Vec<IceUri>)],
    options: &DoctorOptions<'_>,
    mut report: Report<'_>,
) -> CheckResult {
    for (name, uris, uri) in
        relays.iter().flat_map(|(name, uris)| uris.iter().map(move |uri| (name, uris, uri)))
    {
        report.begin(name, uri);
        let mut url = UrlContext::new(uri, uris, options);
        for check in url.checks() {
            report.add(url.run_check(check).await);
        }
        url.release_allocation().await;
    }
    report.end()
}
