//! Packets of Socket.IO, protocols 4 and 5, without binary attachments.
//!
//! Source: the protocol description `socketio/socket.io-protocol`, and what the decoder of `socket.io-parser` lets through.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::client::Protocol;

/// Events that are the library's own; none may be sent.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// A packet of a client, and its namespace.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    /// Without a query.
    pub(super) namespace: &'a str,
    pub(super) kind: Kind<'a>,
}

/// What a packet says.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// The client connects to the namespace, with the data of its `auth`.
    Connect(Map<String, Value>),
    Disconnect,
    /// An event; whether the client wants an answer is of no concern, since no event here has one.
    Event {
        name: Cow<'a, str>,
        args: Vec<&'a RawValue>,
    },
    /// The answer to an event of the server, which asks for none.
    Ack,
    /// Only servers send it.
    ConnectError,
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None`: it is none, or has binary attachments.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (kind, rest) = text.split_at_checked(1)?;
        let (namespace, rest) = match rest.strip_prefix('/') {
            Some(_) => rest.split_once(',').unwrap_or((rest, "")),
            None => ("/", rest),
        };
        // Protocol 4 has a query behind the name.
        let namespace = namespace.split('?').next().unwrap_or_default();
        let data = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let kind = match kind {
            "0" if data.is_empty() => Kind::Connect(Map::new()),
            "0" => Kind::Connect(serde_json::from_str(data).ok()?),
            "1" if data.is_empty() => Kind::Disconnect,
            "2" => event(data)?,
            "3" => serde_json::from_str::<Vec<&RawValue>>(data).ok().map(|_| Kind::Ack)?,
            "4" => serde_json::from_str::<&RawValue>(data).ok().map(|_| Kind::ConnectError)?,
            _ => return None,
        };
        Some(Self { namespace, kind })
    }
}

fn event(data: &str) -> Option<Kind<'_>> {
    let mut parts = serde_json::from_str::<Vec<&RawValue>>(data).ok()?.into_iter();
    let name = parts.next()?.get();
    let name: Cow<'_, str> = if name.starts_with('"') {
        serde_json::from_str::<Text<'_>>(name).ok()?.0
    } else {
        // A number is a name, too.
        serde_json::from_str::<f64>(name).ok().map(|_| name.into())?
    };
    let is_free = !RESERVED.contains(&&*name);
    is_free.then(|| Kind::Event { name, args: parts.collect() })
}

/// A text that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads an argument that is a text.
pub(super) fn text_of(arg: Option<&&RawValue>) -> Option<String> {
    serde_json::from_str(arg?.get()).ok()
}

/// Writes that the client is connected; with the secret by which it resumes, where it can.
pub(super) fn connected(sid: &str, pid: &str) -> String {
    format!("0{}", json!({ "sid": sid, "pid": pid }))
}

/// Writes that the client may not connect to a namespace.
pub(super) fn connect_error(protocol: &Protocol, namespace: &str, message: &str) -> String {
    let data = match protocol {
        Protocol::Four { .. } => json!(message),
        Protocol::Five => json!({ "message": message }),
    };
    match namespace {
        "/" => format!("4{data}"),
        other => format!("4{other},{data}"),
    }
}

/// Writes an event. Its arguments are JSON; the mark is one more of them.
pub(super) fn event_text(name: &str, args: &[String], mark: Option<&str>) -> String {
    let mark = mark.map(|mark| json!(mark).to_string());
    let args: Vec<&str> = args.iter().chain(&mark).map(String::as_str).collect();
    let comma = if args.is_empty() { "" } else { "," };
    format!("2[{}{comma}{}]", json!(name), args.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        let Some(Packet { namespace, kind }) = Packet::parse(text) else { return "none".into() };
        match kind {
            Kind::Connect(data) => format!("{namespace} connect {}", json!(data)),
            Kind::Event { name, args } => {
                let args: Vec<&str> = args.into_iter().map(RawValue::get).collect();
                format!("{namespace} {name} {}", args.join(" "))
            }
            Kind::Disconnect | Kind::Ack | Kind::ConnectError => format!("{namespace} {kind:?}"),
        }
    }

    #[test]
    fn a_packet_is_read_as_by_the_original() {
        for (text, is) in [
            ("0", "/ connect {}"),
            (r#"0{"token":"t"}"#, r#"/ connect {"token":"t"}"#),
            ("0/admin,", "/admin connect {}"),
            ("0/admin?token=x", "/admin connect {}"),
            (r#"0/admin,{"a":1}"#, r#"/admin connect {"a":1}"#),
            ("1", "/ Disconnect"),
            ("1/admin,", "/admin Disconnect"),
            (r#"2["message",{"a":[1, 2]},"x"]"#, r#"/ message {"a":[1, 2]} "x""#),
            (r#"212["create or join","fo\"o"]"#, r#"/ create or join "fo\"o""#),
            (r#"2/admin,1["a\u0020b"]"#, "/admin a b "),
            ("2[7,1]", "/ 7 1"),
            ("31[]", "/ Ack"),
            (r#"4{"message":"x"}"#, "/ ConnectError"),
        ] {
            assert_eq!(parsed(text), is, "{text}");
        }
    }

    #[test]
    fn what_the_original_closes_for_is_no_packet() {
        for text in [
            "",
            "7",
            "é",
            "0[]",
            "0x",
            r#"0"token""#,
            "1x",
            "2",
            "2[]",
            "2{}",
            "2[null]",
            "2[{}]",
            "2[true]",
            r#"2["connect"]"#,
            r#"2["disconnecting",1]"#,
            "3",
            "3{}",
            "4",
            "51-[\"a\",{\"_placeholder\":true,\"num\":0}]",
            "61-1[]",
        ] {
            assert_eq!(parsed(text), "none", "{text:?}");
        }
    }

    #[test]
    fn events_and_errors_are_written_as_the_original_writes_them() {
        let args = ["\"foo\"".to_owned(), "{}".to_owned()];
        assert_eq!(event_text("a\"b", &args, None), r#"2["a\"b","foo",{}]"#);
        assert_eq!(event_text("ready", &[], Some("5:foo")), r#"2["ready","5:foo"]"#);
        assert_eq!(event_text("ready", &[], None), r#"2["ready"]"#);
        let error = connect_error(&Protocol::Five, "/admin", "Invalid namespace");
        assert_eq!(error, r#"4/admin,{"message":"Invalid namespace"}"#);
        let four = Protocol::Four { sid: "s".to_owned() };
        assert_eq!(connect_error(&four, "/", "unauthorized"), r#"4"unauthorized""#);
    }
}
