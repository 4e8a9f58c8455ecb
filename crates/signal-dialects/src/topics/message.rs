//! What clients of topics say.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// One frame of a client.
#[derive(Debug)]
pub(super) enum Message<'a> {
    Subscribe(Names<'a>),
    Unsubscribe(Names<'a>),
    Publish {
        topic: Cow<'a, str>,
        data: Box<RawValue>,
    },
    Ping,
    /// A type that the original servers ignore.
    Unknown,
}

/// The topics of a frame: `topics` of y-webrtc, `topic` of trystero.
#[derive(Debug)]
pub(super) enum Names<'a> {
    Many(Vec<Cow<'a, str>>),
    One(Cow<'a, str>),
}

/// A text, or what stands in its place.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(serde::de::IgnoredAny),
}

impl<'a> Name<'a> {
    fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text).filter(|text| !text.is_empty()),
            Self::Other(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Name<'a>>,
    #[serde(borrow)]
    topic: Option<Name<'a>>,
    #[serde(borrow)]
    topics: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// What a subscriber of trystero gets of a publication.
#[derive(serde::Serialize)]
struct Relayed<'a> {
    topic: &'a str,
    payload: &'a RawValue,
}

impl<'a> Message<'a> {
    /// Reads a frame; `None`: it does not parse, or lacks what its type needs.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let fields: Fields<'a> = serde_json::from_str(text).ok()?;
        let Some(kind) = fields.kind.and_then(Name::text) else { return Some(Self::Unknown) };
        let topic = fields.topic.and_then(Name::text);
        match &*kind {
            "ping" => Some(Self::Ping),
            "subscribe" => Names::read(topic, fields.topics).map(Self::Subscribe),
            "unsubscribe" => Names::read(topic, fields.topics).map(Self::Unsubscribe),
            "publish" => Self::publish(text, topic?, (fields.data, fields.payload)),
            _ => Some(Self::Unknown),
        }
    }

    /// Subscribers get the frame of y-webrtc as it is, and of that of trystero, which has a payload, two fields.
    fn publish(
        text: &str,
        topic: Cow<'a, str>,
        (data, payload): (Option<&RawValue>, Option<&RawValue>),
    ) -> Option<Self> {
        let data = match (data, payload) {
            (None, Some(payload)) => {
                serde_json::value::to_raw_value(&Relayed { topic: &topic, payload }).ok()?
            }
            _ => RawValue::from_string(text.trim().to_owned()).ok()?,
        };
        Some(Self::Publish { topic, data })
    }
}

impl<'a> Names<'a> {
    /// Skips what is no text in the list, as the original server does.
    fn read(topic: Option<Cow<'a, str>>, topics: Option<&'a RawValue>) -> Option<Self> {
        let listed = topics.and_then(|list| serde_json::from_str::<Vec<Name<'a>>>(list.get()).ok());
        match (listed, topic) {
            (Some(names), _) => {
                Some(Self::Many(names.into_iter().filter_map(Name::text).collect()))
            }
            (None, Some(topic)) => Some(Self::One(topic)),
            (None, None) => None,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let (many, one) = match self {
            Self::Many(names) => (&names[..], None),
            Self::One(name) => (&[][..], Some(&**name)),
        };
        many.iter().map(|name| &**name).chain(one)
    }
}
