//! Rules for devices, whatever they connect to.

use std::collections::{HashMap, HashSet};

use signal_protocol::PeerId;
use signal_protocol::report::MediaFault;

use crate::timeline::event::{Event, Line};
use crate::timeline::finding::{Finding, Severity};

/// How far a clock may be off before that is said (ms): a frame takes a second on a bad network, and tokens and credentials are
/// good for minutes.
const SKEW: u64 = 10_000;

/// Returns what is to be said of the devices of the members.
pub(in crate::timeline) fn of_devices(
    lines: &[Line],
    names: &HashMap<&PeerId, &str>,
) -> Vec<Finding> {
    let mut skewed = HashSet::new();
    let mut all = Vec::new();
    for Line { at, event } in lines {
        let Event::Report { peer, skew, media, .. } = event else { continue };
        let name = names.get(peer).copied().unwrap_or(peer.as_str());
        if skew.unsigned_abs() >= SKEW && skewed.insert(peer) {
            all.push(clock_skew((*at, peer, name), *skew));
        }
        all.extend(media.map(|fault| media_refused((*at, peer, name), fault)));
    }
    all
}

fn clock_skew((at, peer, name): (u64, &PeerId, &str), skew: i64) -> Finding {
    Finding {
        rule: "clock_skew",
        severity: Severity::Note,
        at,
        peer: peer.clone(),
        about: None,
        text: format!("The clock of the device of {name} is {}.", clock_words(skew)),
        todo: "Switch automatic time on at the device: it takes tokens for expired, or expired ones for good.".to_owned(),
    }
}

fn media_refused((at, peer, name): (u64, &PeerId, &str), fault: MediaFault) -> Finding {
    let (why, todo) = match fault {
        MediaFault::NotAllowed => (
            "the user or a policy of the browser has refused them",
            "Allow them beside the address of the page, and serve it over https; a frame needs allow=\"camera; microphone\".",
        ),
        MediaFault::NotFound => ("there are none", "Connect one, or join without."),
        MediaFault::NotReadable => ("another program uses them", "Close the other program."),
        MediaFault::Other => {
            ("the browser could not open them", "Look at the console of the page.")
        }
    };
    Finding {
        rule: "media_refused",
        severity: Severity::Problem,
        at,
        peer: peer.clone(),
        about: None,
        text: format!("{name} sends no camera or microphone: {why}."),
        todo: todo.to_owned(),
    }
}

/// Says how far a clock is off.
pub(super) fn clock_words(skew: i64) -> String {
    let direction = if skew > 0 { "ahead" } else { "behind" };
    format!("{} s {direction}", skew.unsigned_abs() / 1_000)
}

/// Returns a sentence about a clock that is off, for rules to which it matters.
pub(super) fn clock_note(skew: i64) -> String {
    let is_off = skew.unsigned_abs() >= SKEW;
    if is_off {
        format!(" The clock of this device is {}.", clock_words(skew))
    } else {
        String::new()
    }
}
