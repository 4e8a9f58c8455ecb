//! Looks at every relay as clients will meet it, for an operator's first hour: can it be reached,
//! does it admit whom it shall and nobody else, and where would it let them go.
//!
//! [`run`] visits one URL after the other and does the checks of [`Check`] in their order; each
//! ends in a [`Finding`] that says what to do. A visit opens some seventy allocations at most, more
//! for large rooms, for users that nobody else is, and gives all of them back. No datagram is sent to any peer: whether
//! a relay would carry one is decided when a permission is asked for (RFC 8656 §9.2).

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

/// What the relays are held against.
#[derive(Clone, Debug)]
pub struct DoctorOptions<'a> {
    /// The secret that the relays shall share.
    pub secrets: &'a Secrets,
    /// How long the credentials live that clients are given.
    pub ttl: Duration,
    /// How the relays are approached.
    pub connect_options: ConnectOptions,
    /// Whether a relay may reach its own machine, as one on a laptop must.
    pub allow_loopback: bool,
    /// The largest call that a relay must have allocations for.
    pub call_size: CallSize,
    /// The clock that credentials are issued by, in Unix seconds.
    pub now: fn() -> u64,
}

/// Does every check at every URL, and tells the worst that was found.
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
