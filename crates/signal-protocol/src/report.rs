//! What a client reports of a WebRTC connection: times, kinds and codes, from closed sets.
//!
//! A node stores a report as it reads it here, never as it was sent, so what these types have no place for (an address, a
//! text of an application) is stored nowhere. A value that a newer client has added is read as `other`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{PeerId, RoomId};

/// Relays with errors in one report, at most. A client has a few URLs of relays, and each gives one or two codes.
const RELAY_ERRORS: usize = 8;

/// Characters of the name of a relay: a host name and a port.
const RELAY_CHARS: usize = 64;

/// `report`
#[derive(Debug, Deserialize)]
pub struct Report {
    /// The room of the connection.
    pub room: RoomId,
    /// The member at the other end; absent if it concerns the room alone.
    pub peer: Option<PeerId>,
    /// The clock of the device, in milliseconds since 1970.
    pub at: u64,
    /// The connection.
    pub call: Option<Box<CallReport>>,
    /// Why the device gave no camera or microphone.
    pub media: Option<MediaFault>,
}

/// One attempt to connect, as one side sees it. Times are milliseconds since the attempt began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct CallReport {
    /// Counts the attempts of this side to connect to that member, from 1.
    pub attempt: u32,
    /// What the report tells.
    pub state: CallState,
    /// Why it ended, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<EndReason>,
    /// When the first offer was sent or received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<u32>,
    /// When the first answer was sent or received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<u32>,
    /// When the first candidate of this side was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<u32>,
    /// When media could flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected: Option<u32>,
    /// When the path was lost, or not found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<u32>,
    /// When this report was sent.
    pub now: u32,
    /// The type of the local candidate in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<CandidateType>,
    /// The type of the remote candidate in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<CandidateType>,
    /// The protocol between this side and its first hop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Transport>,
    /// The round trip of the pair in use, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt: Option<u32>,
    /// Whether only relays may be used.
    #[serde(skip_serializing_if = "is_default")]
    pub relay_only: bool,
    /// How many URLs of relays this side had, by transport.
    #[serde(skip_serializing_if = "is_default")]
    pub relays: RelayCounts,
    /// When its relay credential ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// The types of candidates that this side found.
    #[serde(skip_serializing_if = "is_default")]
    pub gathered: Gathered,
    /// What relays and STUN servers answered, or that they did not.
    #[serde(deserialize_with = "few_errors", skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RelayFault>,
    /// How often this side restarted ICE.
    #[serde(skip_serializing_if = "is_default")]
    pub restarts: u32,
    /// How often offers crossed.
    #[serde(skip_serializing_if = "is_default")]
    pub glare: u32,
    /// Whether this side gives way where offers cross.
    #[serde(skip_serializing_if = "is_default")]
    pub polite: bool,
    /// Whether the DTLS handshake failed.
    #[serde(skip_serializing_if = "is_default")]
    pub dtls_failed: bool,
    /// What this side sent.
    #[serde(skip_serializing_if = "is_default")]
    pub sent: SignalCounts,
    /// What the other side sent to this one.
    #[serde(skip_serializing_if = "is_default")]
    pub received: SignalCounts,
    /// The family of the browser.
    pub browser: Browser,
}

/// What a report tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Nothing has connected for 15 s.
    Pending,
    /// The connection came about.
    Connected,
    /// A path that was lost was found again.
    Recovered,
    /// No path was found, or it was lost.
    Failed,
    /// The attempt is over.
    Ended,
    /// Known to newer versions only.
    #[default]
    #[serde(other)]
    Other,
}

/// Why an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// This side left the room.
    Left,
    /// The other side left the room.
    PeerLeft,
    /// Another connection replaced it.
    Restarted,
    /// A side ended the connection and stayed in the room.
    Disconnected,
    /// Known to newer versions only.
    #[serde(other)]
    Other,
}

/// The type of a candidate (RFC 8445 §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub enum CandidateType {
    Host,
    Srflx,
    Prflx,
    Relay,
    /// Known to newer versions only.
    #[serde(other)]
    Other,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    /// Known to newer versions only.
    #[serde(other)]
    Other,
}

/// How many URLs of relays there are, by transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it all")]
pub struct RelayCounts {
    #[serde(skip_serializing_if = "is_default")]
    pub udp: u8,
    #[serde(skip_serializing_if = "is_default")]
    pub tcp: u8,
    #[serde(skip_serializing_if = "is_default")]
    pub tls: u8,
}

impl RelayCounts {
    /// Returns how many there are.
    #[must_use]
    pub fn all(self) -> u32 {
        u32::from(self.udp) + u32::from(self.tcp) + u32::from(self.tls)
    }
}

/// How many candidates were found, by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub struct Gathered {
    #[serde(skip_serializing_if = "is_default")]
    pub host: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub srflx: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub relay: u32,
}

impl Gathered {
    /// Returns how many there are.
    #[must_use]
    pub fn all(self) -> u64 {
        u64::from(self.host) + u64::from(self.srflx) + u64::from(self.relay)
    }
}

/// How many signals there were, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it all")]
pub struct SignalCounts {
    #[serde(skip_serializing_if = "is_default")]
    pub offers: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub answers: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub candidates: u32,
}

/// An error of a relay or STUN server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RelayFault {
    /// Host and port of its URL.
    #[serde(deserialize_with = "relay_name")]
    #[cfg_attr(feature = "openapi", schema(example = "turn.example.org:3478"))]
    pub relay: String,
    /// The transport of its URL.
    pub transport: Transport,
    /// The STUN error code (RFC 8489 §18.3, RFC 8656 §19), or 701 if nothing answered.
    #[cfg_attr(feature = "openapi", schema(example = 401))]
    pub code: u16,
    /// How often.
    #[serde(default)]
    pub count: u32,
    /// When first, in milliseconds since the attempt began.
    #[serde(default)]
    pub at: u32,
}

/// Why a device gave no camera or microphone: the names of the DOM exceptions of `getUserMedia`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MediaFault {
    /// `NotAllowedError`: the user or a policy refused it.
    NotAllowed,
    /// `NotFoundError`: there is none.
    NotFound,
    /// `NotReadableError`: another program uses it.
    NotReadable,
    /// Another one, or known to newer versions only.
    #[serde(other)]
    Other,
}

/// The family of a browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Browser {
    Chromium,
    Firefox,
    Safari,
    /// Another one, or known to newer versions only.
    #[default]
    #[serde(other)]
    Other,
}

/// Leaves out what says nothing, since a report is stored for a day.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn few_errors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RelayFault>, D::Error> {
    let errors = Vec::deserialize(deserializer)?;
    if errors.len() > RELAY_ERRORS {
        return Err(D::Error::custom(format_args!("a report may have {RELAY_ERRORS} errors")));
    }
    Ok(errors)
}

fn relay_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if name.is_empty() || name.len() > RELAY_CHARS || !name.bytes().all(plain) {
        return Err(D::Error::custom("relay is the host and port of its URL"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn a_report_keeps_nothing_that_its_types_have_no_place_for() {
        let text = r#"{"room":"demo","at":1,"call":{"attempt":1,"state":"connected","now":9,"local":"host","address":"192.0.2.7",
            "errors":[{"relay":"turn.example.org:3478","transport":"udp","code":401,"url":"turn:x?secret"}]}}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        let call = report.call.unwrap();
        let kept = serde_json::to_string(&call).unwrap();
        assert!(!kept.contains("192.0.2.7") && !kept.contains("secret"), "{kept}");
        assert_eq!(serde_json::from_str::<CallReport>(&kept).unwrap(), *call);
    }

    #[test]
    fn a_value_of_a_newer_client_is_read_as_other() {
        let text = r#"{"state":"teleported","local":"quantum","browser":"lynx"}"#;
        let call: CallReport = serde_json::from_str(text).unwrap();
        assert_eq!(call.state, CallState::Other);
        assert_eq!((call.local, call.browser), (Some(CandidateType::Other), Browser::Other));
    }

    #[test]
    fn a_relay_that_is_no_host_and_more_errors_than_fit_are_refused() {
        let fault = |relay: &str| format!(r#"{{"relay":"{relay}","transport":"udp","code":701}}"#);
        let call = |errors: &[String]| format!(r#"{{"errors":[{}]}}"#, errors.join(","));
        let parse = |text: &str| serde_json::from_str::<CallReport>(text).map(|_| ());
        assert!(parse(&call(&vec![fault("a:1"); RELAY_ERRORS])).is_ok());
        assert!(parse(&call(&vec![fault("a:1"); RELAY_ERRORS + 1])).is_err());
        for relay in ["", "turn:u@host?x", "Ana said: hello", &"a".repeat(RELAY_CHARS + 1)] {
            assert!(parse(&call(&[fault(relay)])).is_err(), "{relay}");
        }
    }

    #[test]
    fn the_largest_report_fits_its_limit() {
        let most = Some(u32::MAX);
        let signals = SignalCounts { offers: u32::MAX, answers: u32::MAX, candidates: u32::MAX };
        let relay = "a".repeat(RELAY_CHARS);
        let error = RelayFault {
            relay,
            transport: Transport::Other,
            code: u16::MAX,
            count: u32::MAX,
            at: u32::MAX,
        };
        let call = CallReport {
            attempt: u32::MAX,
            state: CallState::Connected,
            reason: Some(EndReason::Disconnected),
            offer: most,
            answer: most,
            candidate: most,
            connected: most,
            failed: most,
            now: u32::MAX,
            local: Some(CandidateType::Srflx),
            remote: Some(CandidateType::Srflx),
            protocol: Some(Transport::Other),
            rtt: most,
            relays: RelayCounts { udp: u8::MAX, tcp: u8::MAX, tls: u8::MAX },
            expires: Some(u64::MAX),
            gathered: Gathered { host: u32::MAX, srflx: u32::MAX, relay: u32::MAX },
            errors: vec![error; RELAY_ERRORS],
            restarts: u32::MAX,
            glare: u32::MAX,
            browser: Browser::Chromium,
            sent: signals,
            received: signals,
            ..CallReport::default()
        };
        let call = serde_json::to_string(&call).unwrap();
        let frame = format!(
            r#"{{"type":"report","room":"{}","peer":"p_{}","at":{},"call":{call}}}"#,
            "r".repeat(limits::ROOM_CHARS),
            "p".repeat(limits::KEY_CHARS),
            u64::MAX,
        );
        assert!(frame.len() <= limits::REPORT_BYTES, "{} bytes", frame.len());
    }
}
