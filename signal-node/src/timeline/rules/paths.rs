//! Rules for the path of the media itself.

use signal_protocol::report::CallState;

use crate::timeline::finding::{Case, Verdict};

/// The handshake over the path failed.
pub(super) fn dtls_failed(case: &Case<'_>) -> Option<Verdict> {
    if !case.mine.last.dtls_failed {
        return None;
    }
    let text = format!(
        "{} found a path to {}, and the DTLS handshake over it failed.",
        case.me(),
        case.them()
    );
    let todo = "The descriptions were changed or mixed up on their way (a=fingerprint), or one side has an old certificate: look at what \
                the application does with SDP.";
    Some(Verdict::problem(text, todo))
}

/// The path was lost and not found again.
pub(super) fn lost(case: &Case<'_>) -> Option<Verdict> {
    let attempt = case.mine;
    let (connected, failed) = (attempt.last.connected?, attempt.last.failed?);
    if failed < connected || attempt.was_last_recovered() {
        return None;
    }
    let restarts = attempt.last.restarts;
    let text = format!(
        "{} lost the path to {} after {} s, and {restarts} ICE restarts have found no other one.",
        case.me(),
        case.them(),
        (failed - connected) / 1_000,
    );
    let todo = "The network of a device was lost or changed; if restarts do not help, look whether relays can be reached.";
    Some(Verdict::problem(text, todo).at(attempt.moment(failed)))
}

/// The path was lost and found again.
pub(super) fn recovered(case: &Case<'_>) -> Option<Verdict> {
    let attempt = case.mine;
    if !attempt.was(CallState::Recovered) {
        return None;
    }
    let by = match attempt.last.restarts {
        0 => "by itself".to_owned(),
        restarts => format!("after {restarts} ICE restarts"),
    };
    let text = format!("{} lost the path to {} and found one again {by}.", case.me(), case.them());
    Some(Verdict::note(text, "Nothing: the network of a device was interrupted or changed."))
}

/// The browser offered no address at all.
pub(super) fn no_candidates(case: &Case<'_>) -> Option<Verdict> {
    let call = case.mine.last;
    if call.gathered.all() > 0 || call.sent.offers + call.sent.answers == 0 {
        return None;
    }
    let text = format!("{} found no candidate at all.", case.me());
    let todo = "The device has no network for WebRTC: a policy of the browser, an extension or a VPN may forbid it.";
    Some(Verdict::problem(text, todo))
}

/// No direct path works, and there is no relay.
pub(super) fn no_relay_configured(case: &Case<'_>) -> Option<Verdict> {
    let relays = case.theirs.map_or(0, |theirs| theirs.last.relays.all());
    if case.mine.last.relays.all() + relays > 0 || case.mine.last.gathered.all() == 0 {
        return None;
    }
    let text = format!(
        "{} and {} found no direct path, and have no relay: both are behind NATs or firewalls that let nothing through.",
        case.me(),
        case.them()
    );
    let todo = "Configure a credential service with relays (SIGNAL_NODE_CREDENTIALS_URL): between symmetric NATs nothing else works.";
    Some(Verdict::problem(text, todo))
}

/// Both sides have candidates, and no pair works.
pub(super) fn no_path(case: &Case<'_>) -> Option<Verdict> {
    let call = case.mine.last;
    if call.gathered.all() == 0 {
        return None;
    }
    let text = format!(
        "{} found no path to {}: none of its {} candidates reaches one of the {} of the other side.",
        case.me(),
        case.them(),
        call.gathered.all(),
        call.received.candidates,
    );
    let todo = "Look whether relays may reach each other and the clients (denied-peer-ip of coturn, ports 49152–65535 of UDP).";
    Some(Verdict::problem(text, todo))
}
