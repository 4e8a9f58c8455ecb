//! After a run every key of Redis has an end, but those that docs/run/redis.md names.

use super::Violation;
use super::model::Model;
use crate::history::What;

/// One of each for a whole cluster, however many rooms there were.
const ENDLESS: [&str; 3] = ["nodes", "loads", "revoked"];

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let left = model.events.iter().filter_map(|event| match &event.what {
        What::EndlessKeys { keys } => Some((event.at, keys)),
        _ => None,
    });
    let keys = left.flat_map(|(at, keys)| keys.iter().map(move |key| (at, key.as_ref())));
    let unnamed = keys.filter(|(_, key)| !ENDLESS.contains(key));
    unnamed.map(|(at, key)| Violation::new(at, format!("the key {key} has no end"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{HistoryBuilder, found};

    #[test]
    fn the_keys_of_the_whole_cluster_may_stay() {
        assert_eq!(
            found(check, HistoryBuilder::three().endless(&["nodes", "loads", "revoked"])),
            0
        );
    }

    #[test]
    fn twin_a_key_of_a_room_that_stays_is_found() {
        assert_eq!(found(check, HistoryBuilder::three().endless(&["nodes", "{1}:f"])), 1);
    }
}
