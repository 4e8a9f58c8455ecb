//! What coturn tells of its allocations, read.

/// One message of coturn's statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// So many bytes went to and from a client since the last time it said so.
    Relayed { pseudonym: String, bytes: u64 },
    /// An allocation was made.
    Opened,
    /// An allocation is gone.
    Closed,
}

/// Reads a message; `None` if it says nothing that counts here.
///
/// The topic is `turn/realm/R/user/<end>:<pseudonym>/allocation/<id>/traffic` or `…/status`. What is told at
/// the end as `total_traffic`, and what the peers got, has been counted by then.
pub(super) fn read(topic: &str, message: &str) -> Option<Report> {
    let (_, rest) = topic.split_once("/user/")?;
    let (user, rest) = rest.split_once("/allocation/")?;
    let (_, kind) = rest.split_once('/')?;
    match kind {
        "traffic" => {
            let (_, pseudonym) = user.split_once(':')?;
            let bytes = field(message, "rcvb")? + field(message, "sentb")?;
            Some(Report::Relayed { pseudonym: pseudonym.to_owned(), bytes })
        }
        "status" if message.starts_with("new") => Some(Report::Opened),
        "status" if message.starts_with("deleted") => Some(Report::Closed),
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

    const PLACE: &str = "turn/realm/turn.test/user/1795650364:ana/allocation/000000000000000003";

    #[test]
    fn what_coturn_said_is_read() {
        // Recorded from coturn 4.6.1.
        let said = "rcvp=1239, rcvb=376468, sentp=386, sentb=117124";
        let relayed = Report::Relayed { pseudonym: "ana".to_owned(), bytes: 493_592 };
        assert_eq!(read(&format!("{PLACE}/traffic"), said), Some(relayed));
        let new = "new lifetime=777, type=UDP, local=127.0.0.1:13478, remote=127.0.0.1:50203";
        assert_eq!(read(&format!("{PLACE}/status"), new), Some(Report::Opened));
        assert_eq!(read(&format!("{PLACE}/status"), "deleted"), Some(Report::Closed));
    }

    #[test]
    fn what_was_counted_already_or_is_nonsense_is_not_read() {
        let said = "rcvp=9008, rcvb=2736908, sentp=9008, sentb=2736708";
        for kind in ["total_traffic", "traffic/peer", "total_traffic/peer", "other"] {
            assert_eq!(read(&format!("{PLACE}/{kind}"), said), None, "{kind}");
        }
        for (topic, message) in [
            (format!("{PLACE}/traffic"), "rcvb=1"),
            (format!("{PLACE}/traffic"), "rcvb=x, sentb=1"),
            (format!("{PLACE}/status"), "refreshed lifetime=600"),
            ("turn/realm/r/user/static/allocation/1/traffic".to_owned(), said),
            ("nonsense".to_owned(), said),
        ] {
            assert_eq!(read(&topic, message), None, "{topic} {message}");
        }
    }
}
