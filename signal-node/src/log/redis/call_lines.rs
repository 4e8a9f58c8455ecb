//! Calls as `calls.lua` writes them, back in our types. Nothing in it is trusted to be well-formed.

use signal_protocol::{CallEnd, CallId};

use super::words::{Words, garbled, micros, payload};
use crate::log::{CallState, CallView, LogError};

/// Reads `<state> <device or ~> <caller> <room> <left µs>`, and what follows the line.
pub(super) fn call_view(
    call: CallId,
    words: &mut Words<'_>,
    data: impl FnOnce(&mut Words<'_>) -> Result<String, LogError>,
) -> Result<CallView, LogError> {
    let state = words.word()?;
    let device = words.optional("~")?;
    let state = match (state, device) {
        ("ringing", _) => CallState::Ringing,
        ("accepted", Some(device)) => CallState::Accepted(device),
        (end, _) => CallState::Ended(
            CallEnd::from_name(end).ok_or_else(|| garbled(format!("call that is {end:?}")))?,
        ),
    };
    let (from, room, left) = (words.parse()?, words.parse()?, micros(words.parse()?));
    let data = Some(data(words)?).filter(|data| !data.is_empty());
    Ok(CallView { call, from, room, state, left, data: data.map(payload).transpose()? })
}
