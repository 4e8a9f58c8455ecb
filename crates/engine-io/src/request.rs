//! The requests of a client: their query, the answer to the first one, and the errors.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The revision of the protocol that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revision {
    /// Of clients of Socket.IO 1 and 2: the client sends pings.
    V3,
    /// Of clients of Socket.IO 3 and 4: the server sends pings.
    V4,
}

/// What carries the packets.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Polling,
    WebSocket,
}

/// The query of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// A request that does not say `EIO=4` is one of revision 3, as the server of Engine.IO reads it.
    pub revision: Revision,
    /// The transport; `None`: it is not known.
    pub transport: Option<Transport>,
    /// The session; `None`: the request opens one.
    pub sid: Option<String>,
}

impl Query {
    /// Reads the parameters of a query, decoded.
    pub fn read<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut query = Self { revision: Revision::V3, transport: None, sid: None };
        for (name, value) in parameters {
            match (name, value) {
                ("EIO", "4") => query.revision = Revision::V4,
                ("transport", "polling") => query.transport = Some(Transport::Polling),
                ("transport", "websocket") => query.transport = Some(Transport::WebSocket),
                ("sid", sid) if !sid.is_empty() => query.sid = Some(sid.to_owned()),
                _ => {}
            }
        }
        query
    }
}

/// The data of the first packet: what the server grants.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Open<'a> {
    /// The secret that names the session.
    pub sid: &'a str,
    /// The transports that the client may move to.
    pub upgrades: &'a [&'a str],
    /// Milliseconds between two pings.
    pub ping_interval: u64,
    /// Milliseconds that the answer to a ping may take.
    pub ping_timeout: u64,
    /// The most bytes of the body of a request.
    pub max_payload: usize,
}

impl<'a> Open<'a> {
    /// Takes the time between two pings and for how long nothing may be heard at all, and the most bytes of a body.
    #[must_use]
    pub fn new(
        sid: &'a str,
        transport: Transport,
        (ping, silence): (Duration, Duration),
        max_payload: usize,
    ) -> Self {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let upgrades: &[&str] = match transport {
            Transport::Polling => &["websocket"],
            Transport::WebSocket => &[],
        };
        Self {
            sid,
            upgrades,
            ping_interval: milliseconds(ping),
            ping_timeout: milliseconds(silence.saturating_sub(ping)),
            max_payload,
        }
    }

    /// Writes the packet.
    #[must_use]
    pub fn to_packet(&self) -> String {
        let data = serde_json::to_string(self).expect("a struct of texts and numbers is JSON");
        format!("0{data}")
    }
}

/// Why a request is refused, in the words of the server of Engine.IO.
#[expect(missing_docs, reason = "the names are the protocol's")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestError {
    UnknownTransport,
    UnknownSession,
    BadMethod,
    BadRequest,
    Forbidden,
    /// A second request of its kind while one is under way: the session has ended. It has no body.
    Overlap,
}

impl RequestError {
    /// Returns `{"code":…,"message":…}`; empty where the original answers without one.
    #[must_use]
    pub fn body(self) -> String {
        match self.code() {
            Some(code) => format!(r#"{{"code":{code},"message":"{}"}}"#, self.message()),
            None => String::new(),
        }
    }

    fn code(self) -> Option<u8> {
        Some(match self {
            Self::UnknownTransport => 0,
            Self::UnknownSession => 1,
            Self::BadMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::Overlap => return None,
        })
    }

    /// Returns the message alone, the body of the answer to a WebSocket handshake.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::Overlap => "",
        }
    }

    /// Returns the status of HTTP.
    #[must_use]
    pub fn status(self) -> u16 {
        if self == Self::Forbidden { 403 } else { 400 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_the_fourth_revision_is_one_of_the_third() {
        let read = |pairs: &[(&'static str, &'static str)]| Query::read(pairs.iter().copied());
        let fourth = read(&[("EIO", "4"), ("transport", "polling"), ("t", "Oq1")]);
        assert_eq!(
            fourth,
            Query { revision: Revision::V4, transport: Some(Transport::Polling), sid: None }
        );
        let third = read(&[("EIO", "3"), ("transport", "websocket"), ("sid", "abc")]);
        assert_eq!((third.revision, third.sid.as_deref()), (Revision::V3, Some("abc")));
        assert_eq!(read(&[("EIO", "5")]).revision, Revision::V3);
        assert_eq!(
            read(&[("transport", "jsonp"), ("sid", "")]),
            Query { transport: None, ..read(&[]) }
        );
    }

    #[test]
    fn the_first_packet_grants_what_clients_read() {
        let times = (Duration::from_secs(10), Duration::from_secs(25));
        let open = Open::new("s1", Transport::Polling, times, 1_000_000);
        assert_eq!(
            open.to_packet(),
            r#"0{"sid":"s1","upgrades":["websocket"],"pingInterval":10000,"pingTimeout":15000,"maxPayload":1000000}"#
        );
        assert!(Open::new("s1", Transport::WebSocket, times, 1).upgrades.is_empty());
    }

    #[test]
    fn a_refusal_has_the_code_the_words_and_the_status_of_the_original() {
        for (error, status, body) in [
            (RequestError::UnknownTransport, 400, r#"{"code":0,"message":"Transport unknown"}"#),
            (RequestError::UnknownSession, 400, r#"{"code":1,"message":"Session ID unknown"}"#),
            (RequestError::BadMethod, 400, r#"{"code":2,"message":"Bad handshake method"}"#),
            (RequestError::BadRequest, 400, r#"{"code":3,"message":"Bad request"}"#),
            (RequestError::Forbidden, 403, r#"{"code":4,"message":"Forbidden"}"#),
            (RequestError::Overlap, 400, ""),
        ] {
            assert_eq!((error.status(), &*error.body()), (status, body));
        }
    }
}
