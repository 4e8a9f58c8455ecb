//! Rules for what the other side did meanwhile.

use signal_protocol::LeaveReason;

use crate::timeline::event::Event;
use crate::timeline::finding::{Case, Verdict};

/// How long after the last report of an attempt a departure still belongs to it (ms): the report may have been sent right before.
const SOON: u64 = 3_000;

/// The other side left before there was a path.
pub(super) fn left(case: &Case<'_>) -> Option<Verdict> {
    let attempt = case.mine;
    if attempt.connected() || attempt.is_replaced() {
        return None;
    }
    let (at, reason) = case.lines.iter().rev().find_map(|line| match &line.event {
        Event::Left { peer, reason, .. } if peer == attempt.about => Some((line.at, *reason)),
        Event::Left { .. }
        | Event::Joined { .. }
        | Event::Away { .. }
        | Event::Back { .. }
        | Event::Reset { .. }
        | Event::Report { .. } => None,
    })?;
    if !(attempt.began..=attempt.until + SOON).contains(&at) {
        return None;
    }
    let (them, me) = (case.them(), case.me());
    let how = match reason {
        LeaveReason::Left => "left",
        LeaveReason::Timeout => "did not come back after its connection was lost",
        LeaveReason::Kicked => "was removed",
    };
    let after = at.saturating_sub(attempt.began) / 1_000;
    let text = format!("{them} {how} while {me} was connecting to it, {after} s after the begin.");
    Some(
        Verdict::problem(text, "Nothing, if it was meant; else ask why the page was closed.")
            .at(at),
    )
}

/// Returns the time in which the other side was away during the attempt: since when, and until when.
fn absence(case: &Case<'_>) -> Option<(u64, Option<u64>)> {
    let mut since = None;
    let mut absences = Vec::new();
    for line in case.lines {
        match &line.event {
            Event::Away { peer, ago, .. } if peer == case.mine.about => {
                since.get_or_insert(line.at.saturating_sub(*ago));
            }
            Event::Joined { peer, .. } | Event::Back { peer, .. } | Event::Left { peer, .. }
                if peer == case.mine.about =>
            {
                absences.extend(since.take().map(|since| (since, Some(line.at))));
            }
            Event::Away { .. }
            | Event::Joined { .. }
            | Event::Back { .. }
            | Event::Left { .. }
            | Event::Reset { .. }
            | Event::Report { .. } => {}
        }
    }
    absences.extend(since.map(|since| (since, None)));
    let overlaps = |(since, until): &(u64, Option<u64>)| {
        *since <= case.mine.until && until.is_none_or(|until| until >= case.mine.began)
    };
    absences.into_iter().find(overlaps)
}

/// The other side had no connection to the node, so that it could not answer.
pub(super) fn away(case: &Case<'_>) -> Option<Verdict> {
    let is_harmed = case.mine.came_to_nothing() && left(case).is_none();
    let (since, until) = absence(case).filter(|_| is_harmed)?;
    let them = case.them();
    let how_long = match until {
        Some(until) => format!("for {} s", until.saturating_sub(since).div_ceil(1_000)),
        None => "and did not come back".to_owned(),
    };
    let text = format!(
        "{them} was away {how_long} while {} was connecting: it had lost its connection to the node and could not answer.",
        case.me()
    );
    let todo =
        "Look at the network of that device; a phone that sleeps or changes networks does this.";
    Some(Verdict::problem(text, todo).at(since))
}

/// Offers crossed.
pub(super) fn glare(case: &Case<'_>) -> Option<Verdict> {
    let call = case.mine.last;
    if call.glare == 0 {
        return None;
    }
    let (me, them) = (case.me(), case.them());
    let text = if call.polite {
        format!("Offers crossed: {me} dropped its own and answered that of {them}.")
    } else {
        format!("Offers crossed: {me} went on with its own and ignored that of {them}.")
    };
    Some(Verdict::note(text, "Nothing: the SDK resolves it, and media flows a little later."))
}

/// Nobody answered an offer, although the other side was there.
pub(super) fn not_answered(case: &Case<'_>) -> Option<Verdict> {
    let call = case.mine.last;
    if call.sent.offers == 0 || call.answer.is_some() {
        return None;
    }
    let (me, them) = (case.me(), case.them());
    let seen = match case.theirs.map(|theirs| theirs.last.received.offers) {
        None => "It has reported no attempt of its own",
        Some(0) => "It has received no offer",
        Some(_) => "It has received the offer",
    };
    let text = format!("{them} was in the room and never answered the offer of {me}. {seen}.");
    let todo = "Look for exceptions in the page of that member, for the option connect of join, and whether it handles WebRTC at all; a tab \
                that the system has frozen answers once it is shown.";
    Some(Verdict::problem(text, todo))
}
