//! The Lua script that appends to a room.

/// All steps in one script, so that whatever collects for a room goes as one call.
pub(super) const SCRIPT: &str = concat!(
    include_str!("prelude.lua"),
    include_str!("membership.lua"),
    include_str!("configuration.lua"),
    include_str!("join.lua"),
    include_str!("signal.lua"),
    include_str!("update.lua"),
    include_str!("leave.lua"),
    include_str!("takeover.lua"),
    include_str!("kick.lua"),
    include_str!("post.lua"),
    include_str!("calls.lua"),
    include_str!("tend.lua"),
    include_str!("main.lua"),
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use signal_protocol::limits;

    use super::*;
    use crate::log::{
        CALL_LIFE, CALLS_REMEMBERED, CLOCK_BEHIND, EVENTS_PER_QUEUE, JOIN_VALID_FOR,
        LEFT_REMEMBERED, MEMBERS_PER_STEP, PASSED_OVER, PASSED_OVER_BY_CLOCK, POSTS_REMEMBERED,
        RECLAIM_WINDOW, REMEMBERED, RESTORE_WINDOW, RINGING_CALLS,
    };

    #[test]
    fn every_constant_of_the_script_is_that_of_the_code() {
        let constant = |line: &'static str| {
            let (name, value) = line.strip_prefix("local ")?.split_once(" = ")?;
            let is_constant = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            is_constant.then_some((name, value.parse::<u128>().ok()?))
        };
        let found: BTreeMap<_, _> = SCRIPT.lines().filter_map(constant).collect();
        let expected = BTreeMap::from([
            ("UNACKED", u128::from(limits::UNACKED)),
            ("RESTORE_WINDOW", RESTORE_WINDOW.as_micros()),
            ("RECLAIM_WINDOW", RECLAIM_WINDOW.as_micros()),
            ("JOIN_VALID_FOR", JOIN_VALID_FOR.as_micros()),
            ("REMEMBERED", REMEMBERED.as_micros()),
            ("POSTS_REMEMBERED", POSTS_REMEMBERED.as_micros()),
            ("CALLS_REMEMBERED", CALLS_REMEMBERED.as_micros()),
            ("CALL_LIFE", CALL_LIFE.as_micros()),
            ("RINGING_CALLS", RINGING_CALLS as u128),
            ("MEMBERS_PER_STEP", MEMBERS_PER_STEP as u128),
            ("LEFT_REMEMBERED", LEFT_REMEMBERED as u128),
            ("CLOCK_BEHIND", CLOCK_BEHIND.as_micros()),
            ("PASSED_OVER", u128::from(PASSED_OVER)),
            ("PASSED_OVER_BY_CLOCK", PASSED_OVER_BY_CLOCK.as_micros()),
            ("EVENTS_PER_QUEUE", EVENTS_PER_QUEUE as u128),
            ("ROOM_CAPACITY", u128::from(limits::ROOM_CAPACITY)),
        ]);
        assert_eq!(found, expected);
        // The other script that gives numbers.
        let behind = format!("local CLOCK_BEHIND = {}\n", CLOCK_BEHIND.as_micros());
        assert!(include_str!("messages.lua").contains(&behind));
    }
}
