//! The link in use, and the one that is to replace it.

use signal_protocol::CloseCode;
use tokio::time::Instant;

use super::context::Context;
use super::effect::{Effect, LinkId};
use super::frame::{Request, Welcome};
use super::link::{Link, SilenceAction};

/// Which of the two a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkRole {
    Current,
    Next,
}

#[derive(Default)]
pub(super) struct Links {
    pub(super) current: Option<Link>,
    pub(super) next: Option<Link>,
}

impl Links {
    /// The link that frames are sent on, while one is open.
    pub(super) fn open(&self) -> Option<LinkId> {
        self.current.as_ref().filter(|link| link.is_open()).map(|link| link.id)
    }

    /// The link that is to take over, while it is open.
    pub(super) fn successor(&self) -> Option<LinkId> {
        self.next.as_ref().filter(|link| link.is_open()).map(|link| link.id)
    }

    /// The greeting on a link, while it is open.
    pub(super) fn welcome(&self, id: LinkId) -> Option<&Welcome> {
        self.all().find(|link| link.id == id)?.welcome.as_ref()
    }

    /// How many bytes a frame on a link may have.
    pub(super) fn largest_frame(&self, id: Option<LinkId>) -> usize {
        let welcome = id.and_then(|id| self.welcome(id));
        welcome.map_or(signal_protocol::limits::MESSAGE_BYTES, |welcome| welcome.limits.message)
    }

    /// Notes that a newer link took over the members of this one.
    pub(super) fn mark_replaced(&mut self, id: LinkId) {
        if let Some(link) = self.find(id) {
            link.mark_replaced = true;
        }
    }

    pub(super) fn is_open(&self, id: LinkId) -> bool {
        self.welcome(id).is_some()
    }

    pub(super) fn place(&self, id: LinkId) -> Option<LinkRole> {
        let is = |link: &Option<Link>| link.as_ref().is_some_and(|link| link.id == id);
        match (is(&self.current), is(&self.next)) {
            (true, _) => Some(LinkRole::Current),
            (false, true) => Some(LinkRole::Next),
            (false, false) => None,
        }
    }

    pub(super) fn find(&mut self, id: LinkId) -> Option<&mut Link> {
        self.all_mut().find(|link| link.id == id)
    }

    fn all(&self) -> impl Iterator<Item = &Link> {
        [&self.current, &self.next].into_iter().flatten()
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        [&mut self.current, &mut self.next].into_iter().flatten()
    }

    /// Notes a sign of life; returns whether the link is one of the two.
    pub(super) fn heard(&mut self, id: LinkId, now: Instant) -> bool {
        self.find(id).map(|link| link.heard(now)).is_some()
    }

    /// Nothing is read for now, so silence means nothing.
    pub(super) fn not_reading(&mut self, now: Instant) {
        self.all_mut().for_each(|link| link.heard(now));
    }

    /// When silence needs attention next.
    pub(super) fn watch_at(&self) -> Option<Instant> {
        self.all().map(Link::watch_at).min()
    }

    /// Breaks silences that are due; returns a link that has been silent for too long.
    pub(super) fn watch(&mut self, now: Instant, context: &mut Context) -> Option<LinkId> {
        for link in self.all_mut() {
            match link.watch(now) {
                SilenceAction::Nothing => {}
                SilenceAction::Ping => context.say(link.id, &Request::Ping),
                SilenceAction::GiveUp => {
                    close(link, CloseCode::PingTimeout.number(), context);
                    return Some(link.id);
                }
            }
        }
        None
    }
}

/// Has a socket closed; its link is to be removed.
pub(super) fn close(link: &Link, code: u16, context: &mut Context) {
    context.emit(Effect::Close { link: link.id, code });
}
