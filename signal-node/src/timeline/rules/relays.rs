//! Rules for what relays answered, or that they did not.

use signal_protocol::report::{CandidateType, RelayFault, Transport};

use super::devices::clock_note;
use crate::timeline::finding::{Case, Severity, Verdict};

/// What a browser says of a server that did not answer (W3C WebRTC §4.8.2).
const NO_ANSWER: u16 = 701;

/// Returns an error with this code, of a side that got no relay candidate. Chromium reports errors for each network interface,
/// so that one error is no proof that the relay cannot be used.
fn refusal<'a>(case: &Case<'a>, code: u16) -> Option<&'a RelayFault> {
    let call = case.mine.last;
    let error = call.errors.iter().find(|error| error.code == code)?;
    (call.gathered.relay == 0).then_some(error)
}

/// Says something about a relay: a problem, unless the connection came about without it.
fn verdict(case: &Case<'_>, error: &RelayFault, text: String, todo: &'static str) -> Verdict {
    let severity = if case.mine.came_to_nothing() { Severity::Problem } else { Severity::Note };
    Verdict { severity, at: Some(case.mine.moment(error.at)), text, todo }
}

/// Returns by how many seconds the credential had expired when the relay answered, or `None` if it was good.
fn expired_for(case: &Case<'_>, error: &RelayFault) -> Option<u64> {
    let answered = case.mine.moment(error.at) / 1_000;
    answered.checked_sub(case.mine.last.expires?)
}

/// A relay refused a credential that has expired.
pub(super) fn credential_expired(case: &Case<'_>) -> Option<Verdict> {
    let error = refusal(case, 401)?;
    let seconds = expired_for(case, error)?;
    let (me, relay) = (case.me(), &error.relay);
    let text = format!(
        "{me} got no relay candidate: relay {relay} refused it with 401, since its credential had expired {seconds} s before.{}",
        clock_note(case.mine.skew),
    );
    let todo = "Look whether the credential service answers the node (signal_credentials_failing), and raise TURN_CRED_TTL if it \
                is short.";
    Some(verdict(case, error, text, todo))
}

/// A relay refused a credential that has not expired: it has another secret.
pub(super) fn credential_refused(case: &Case<'_>) -> Option<Verdict> {
    let error = refusal(case, 401)?;
    if expired_for(case, error).is_some() {
        return None;
    }
    let (me, relay) = (case.me(), &error.relay);
    let text = format!(
        "{me} got no relay candidate: relay {relay} refused it with 401, although its credential has not expired."
    );
    let todo = "Relay and credential service have different secrets, or the clock of the relay is ahead: compare static-auth-secret \
                of coturn with TURN_CRED_SECRET_FILE.";
    Some(verdict(case, error, text, todo))
}

/// A relay refused it for good.
pub(super) fn forbidden(case: &Case<'_>) -> Option<Verdict> {
    let error = refusal(case, 403)?;
    let (me, relay) = (case.me(), &error.relay);
    let text = format!("{me} got no relay candidate: relay {relay} forbids it (403).");
    let todo = "Look at the rules of the relay for addresses and origins, such as allowed-peer-ip and denied-peer-ip of coturn.";
    Some(verdict(case, error, text, todo))
}

/// A user has as many allocations as it may.
pub(super) fn quota(case: &Case<'_>) -> Option<Verdict> {
    let error = refusal(case, 486)?;
    let (me, relay) = (case.me(), &error.relay);
    let text = format!(
        "{me} got no relay candidate: this user has as many allocations at relay {relay} as it may (486)."
    );
    let todo = "Raise user-quota of coturn: a member needs one allocation for each other one, and calls that ended a short time ago \
                still hold theirs.";
    Some(verdict(case, error, text, todo))
}

/// A relay is full.
pub(super) fn capacity(case: &Case<'_>) -> Option<Verdict> {
    let error = refusal(case, 508)?;
    let (me, relay) = (case.me(), &error.relay);
    let text = format!("{me} got no relay candidate: relay {relay} has no capacity left (508).");
    let todo =
        "Add relays, or raise total-quota and the range of ports of coturn (min-port, max-port).";
    Some(verdict(case, error, text, todo))
}

/// A relay took a request for one of another allocation.
pub(super) fn mismatch(case: &Case<'_>) -> Option<Verdict> {
    let error = refusal(case, 437)?;
    let (me, relay) = (case.me(), &error.relay);
    let text =
        format!("{me} got no relay candidate: relay {relay} answered 437 (allocation mismatch).");
    let todo = "Relays behind one address must get all packets of a client: have the load balancer hash the client's address and port.";
    Some(verdict(case, error, text, todo))
}

/// Returns the first error of a side to which no relay answered.
fn no_answer<'a>(case: &Case<'a>) -> Option<&'a RelayFault> {
    let call = case.mine.last;
    let is_silent = call.errors.iter().all(|error| error.code == NO_ANSWER);
    refusal(case, NO_ANSWER).filter(|_| is_silent && call.relays.all() > 0)
}

/// No relay answered, over any transport.
pub(super) fn unreachable(case: &Case<'_>) -> Option<Verdict> {
    let error = no_answer(case)?;
    let relays = case.mine.last.relays;
    if relays.tcp + relays.tls == 0 {
        return None;
    }
    let (me, relay) = (case.me(), &error.relay);
    let text = format!(
        "{me} got no relay candidate: relay {relay} did not answer, neither over UDP nor over TCP or TLS."
    );
    let todo = "Look whether the relay runs (turn-cred-service doctor) and whether its addresses and ports are open to the internet.";
    Some(verdict(case, error, text, todo))
}

/// No relay answered over UDP, and there was nothing else to try.
pub(super) fn udp_blocked(case: &Case<'_>) -> Option<Verdict> {
    let error = no_answer(case)?;
    let relays = case.mine.last.relays;
    if relays.tcp + relays.tls > 0 {
        return None;
    }
    let (me, relay) = (case.me(), &error.relay);
    let text = format!(
        "{me} got no relay candidate: relay {relay} did not answer over UDP, and no relay over TCP or TLS is configured. The network of \
         this device blocks UDP, or the relay is down."
    );
    let todo = "Add URLs with ?transport=tcp and turns: to the relays, best on port 443; if others cannot connect either, look whether \
                the relay runs.";
    Some(verdict(case, error, text, todo))
}

/// The path leads to its relay over TCP or TLS, although UDP was there to be tried, which browsers prefer.
pub(super) fn relay_over_tcp(case: &Case<'_>) -> Option<Verdict> {
    let call = case.mine.last;
    let transport = match call.protocol? {
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
        Transport::Udp | Transport::Other => return None,
    };
    if call.local != Some(CandidateType::Relay) || call.relays.udp == 0 {
        return None;
    }
    let text = format!(
        "{} is connected by a relay over {transport}: UDP does not get through the network of this device.",
        case.me()
    );
    let todo = "Nothing: it works. Over TCP a lost packet delays those behind it, which is heard on bad networks.";
    Some(Verdict::note(text, todo))
}

/// Only relays may be used, and there are none.
pub(super) fn none_for_policy(case: &Case<'_>) -> Option<Verdict> {
    let call = case.mine.last;
    if !call.relay_only || call.relays.all() > 0 || !case.mine.came_to_nothing() {
        return None;
    }
    let text = format!(
        "{} may connect over relays only (iceTransportPolicy relay), and was given none.",
        case.me()
    );
    let todo = "Configure a credential service with relays (SIGNAL_NODE_CREDENTIALS_URL) and look whether it answers \
                (signal_credentials_failing), or allow other paths.";
    Some(Verdict::problem(text, todo))
}
