//! Runs one check by its name.

use super::findings::{Check, Finding};
use super::url_context::UrlContext;
use super::{connectivity, credential_checks, peer_permissions, quota};

pub(super) async fn run_check(url: &mut UrlContext<'_>, check: Check) -> Finding {
    if let Some(why) = url.skip_reason {
        return Finding::skipped(check, why);
    }
    match check {
        Check::Name => connectivity::name(url).await,
        Check::Port => connectivity::port(url).await,
        Check::Certificate => connectivity::certificate(url).await,
        Check::Binding => connectivity::binding(url).await,
        Check::Allocation => credential_checks::allocation(url).await,
        Check::Refresh => credential_checks::refresh(url).await,
        Check::WrongSecret => credential_checks::wrong_secret(url).await,
        Check::EmptySecret => credential_checks::empty_secret(url).await,
        Check::Expiry => credential_checks::expiry(url).await,
        Check::Clock => credential_checks::clock(url).await,
        Check::Peers => peer_permissions::peers(url).await,
        Check::Quota => quota::quota(url).await,
    }
}

/// Releases the allocation if the checks left one.
pub(super) async fn release_allocation(mut url: UrlContext<'_>) {
    if let Some(client) = &mut url.allocation {
        credential_checks::release(client).await;
    }
}
