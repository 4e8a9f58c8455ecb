//! Parses the statistics that coturn publishes about its allocations.

/// One message of coturn's `redis-statsdb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CoturnEvent {
    /// Bytes to and from a client since the previous message.
    Relayed {
        pseudonym: String,
        bytes: u64,
    },
    Opened,
    Closed,
}

/// Parses a message; `None` for those that do not count here.
///
/// The topic is `turn/realm/R/user/<expiry>:<pseudonym>/allocation/<id>/traffic` or `…/status`.
/// `total_traffic`, sent at the end, and the peer side repeat bytes that `traffic` has reported.
pub(super) fn parse_event(topic: &str, message: &str) -> Option<CoturnEvent> {
    let (_, rest) = topic.split_once("/user/")?;
    let (user, rest) = rest.split_once("/allocation/")?;
    let (_, kind) = rest.split_once('/')?;
    match kind {
        "traffic" => {
            let (_, pseudonym) = user.split_once(':')?;
            let bytes = field(message, "rcvb")? + field(message, "sentb")?;
            Some(CoturnEvent::Relayed { pseudonym: pseudonym.to_owned(), bytes })
        }
        "status" if message.starts_with("new") => Some(CoturnEvent::Opened),
        "status" if message.starts_with("deleted") => Some(CoturnEvent::Closed),
        _ => None,
    }
}

/// Finds `name=number` in `rcvp=1, rcvb=300, sentp=1, sentb=300`.
fn field(message: &str, name: &str) -> Option<u64> {
    let pairs = message.split(',').filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(found, _)| *found == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "turn/realm/turn.test/user/1795650364:ana/allocation/000000000000000003";

    #[test]
    fn recorded_coturn_messages_are_parsed() {
        // Recorded from coturn 4.6.1.
        let said = "rcvp=1239, rcvb=376468, sentp=386, sentb=117124";
        let relayed = CoturnEvent::Relayed { pseudonym: "ana".to_owned(), bytes: 493_592 };
        assert_eq!(parse_event(&format!("{TOPIC}/traffic"), said), Some(relayed));
        let new = "new lifetime=777, type=UDP, local=127.0.0.1:13478, remote=127.0.0.1:50203";
        assert_eq!(parse_event(&format!("{TOPIC}/status"), new), Some(CoturnEvent::Opened));
        assert_eq!(parse_event(&format!("{TOPIC}/status"), "deleted"), Some(CoturnEvent::Closed));
    }

    #[test]
    fn totals_peer_traffic_and_malformed_messages_are_skipped() {
        let said = "rcvp=9008, rcvb=2736908, sentp=9008, sentb=2736708";
        for kind in ["total_traffic", "traffic/peer", "total_traffic/peer", "other"] {
            assert_eq!(parse_event(&format!("{TOPIC}/{kind}"), said), None, "{kind}");
        }
        for (topic, message) in [
            (format!("{TOPIC}/traffic"), "rcvb=1"),
            (format!("{TOPIC}/traffic"), "rcvb=x, sentb=1"),
            (format!("{TOPIC}/status"), "refreshed lifetime=600"),
            ("turn/realm/r/user/static/allocation/1/traffic".to_owned(), said),
            ("nonsense".to_owned(), said),
        ] {
            assert_eq!(parse_event(&topic, message), None, "{topic} {message}");
        }
    }
}
