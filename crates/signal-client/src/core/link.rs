//! One socket as the machine sees it: its greeting, and whether it is silent for too long.

use std::time::Duration;

use signal_protocol::codes::CloseAction;
use tokio::time::Instant;

use super::effect::LinkId;
use super::frame::Welcome;

/// How long a socket may take from its opening to `welcome`: above the 5 s that the node waits for `hello`.
const WELCOME_WITHIN: Duration = Duration::from_secs(8);
/// How long an answer to `ping` may take.
const PONG_WITHIN: Duration = Duration::from_secs(4);

/// What silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SilenceAction {
    Nothing,
    Ping,
    GiveUp,
}

pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) welcome: Option<Welcome>,
    /// When to open the next link, as a `goaway` said that came before this link was in use.
    pub(super) goaway: Option<Duration>,
    /// Whether a newer link of this client took its members: that the node closes it as replaced is no end then.
    pub(super) mark_replaced: bool,
    /// What the node said was wrong with the connection.
    pub(super) complaint: Option<String>,
    heard_at: Instant,
    asked_at: Option<Instant>,
}

impl Link {
    pub(super) fn new(id: LinkId, now: Instant) -> Self {
        Self {
            id,
            welcome: None,
            goaway: None,
            mark_replaced: false,
            complaint: None,
            heard_at: now,
            asked_at: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.welcome.is_some()
    }

    pub(super) fn heard(&mut self, now: Instant) {
        if self.is_open() {
            (self.heard_at, self.asked_at) = (now, None);
        }
    }

    /// When silence needs attention next.
    pub(super) fn watch_at(&self) -> Instant {
        match (&self.welcome, self.asked_at) {
            (None, _) => self.heard_at + WELCOME_WITHIN,
            (Some(_), Some(asked)) => asked + PONG_WITHIN,
            (Some(welcome), None) => self.heard_at + Duration::from_secs(welcome.ping.max(1)),
        }
    }

    pub(super) fn watch(&mut self, now: Instant) -> SilenceAction {
        if now < self.watch_at() {
            return SilenceAction::Nothing;
        }
        if !self.is_open() || self.asked_at.is_some() {
            return SilenceAction::GiveUp;
        }
        self.asked_at = Some(now);
        SilenceAction::Ping
    }
}

/// How a link ended.
pub(super) struct Closed<'a> {
    pub(super) code: u16,
    pub(super) message: &'a str,
    pub(super) retry_after: Option<Duration>,
}

/// Returns what a close code, or the HTTP status of an upgrade, tells a client to do. The hundreds digit of a code decides,
/// so that later ones are obeyed too.
pub(super) fn close_action(code: u16) -> CloseAction {
    match code {
        1002 | 1003 | 1007 | 1009 | 4200..=4299 => CloseAction::Stop,
        401 | 4100..=4199 => CloseAction::Token,
        _ => CloseAction::Resume,
    }
}
