//! Examines relays for an operator: are they reachable, do they accept exactly the right
//! credentials, which peers would they relay to.
//!
//! [`examine_relays`] runs the checks of [`Check`] at one URL after the other; each ends in a
//! [`Finding`] with advice. One URL costs up to about seventy allocations, more for large rooms,
//! all under random usernames and all released. No datagram goes to any peer: a relay already
//! decides about a peer when a permission is requested (RFC 8656 §9.2).

mod certificate;
mod checks;
mod cli;
mod connectivity;
mod credential_checks;
mod findings;
mod options;
mod peer_permissions;
mod quota;
mod url_context;

use service_kit::findings::CheckResult;

use crate::pool::IceUri;
use url_context::UrlContext;

pub use cli::{command, run_command};
pub use findings::{Check, Finding, Report};
pub use options::{CallSize, DoctorOptions};

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
            report.add(checks::run_check(&mut url, check).await);
        }
        checks::release_allocation(url).await;
    }
    report.end()
}
