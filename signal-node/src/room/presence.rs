//! What a node knows of the presence of one user, for the sockets that watch it.
//!
//! An inbox with watchers stays open, so that the devices of a silent node are suspected and expired here even if nobody
//! else has the inbox open. The devices are read from the log once (`Op::Inspect`); the entries that are delivered after that
//! change them. What must hold:
//!
//! - The answer of an `Inspect` is of the moment at which the log was asked, and entries may be delivered before it comes:
//!   they are kept (`View::Asked`) and applied above its head.
//! - After a reset the roster lacks the devices whose nodes have yet to restore them. The devices stay as they were told until
//!   the time for restores is over; then the log is asked again.
//! - The keys of a user without devices end, and the log of the next device begins anew. A node that holds no device there
//!   has nothing to restore, and follows the new log ([`Presence::begin_anew`]).

use std::time::Duration;

use bytes::Bytes;
use signal_protocol::server::milliseconds;
use signal_protocol::{Seq, Subject};
use tokio::time::Instant;

use super::append_queue::AppendQueue;
use super::command::WatchCommand;
use super::device::Devices;
use super::effect::{Count, StepContext};
use super::watchers::Watchers;
use crate::log::{Entry, Op, RESTORE_WINDOW, RoomView, Silent, SocketId};

/// Changes within this time are told together.
const TELL_EVERY: Duration = Duration::from_millis(150);

/// Entries that may wait for the answer of an `Inspect`. After more of them the log is asked again.
const LATER: usize = 256;

/// How much of the log the devices stand for.
enum View {
    /// The log has to be asked.
    Unknown,
    /// It was asked when `from` was delivered; these entries were delivered since.
    Asked { from: Seq, later: Vec<(Seq, Entry)> },
    /// All entries up to this one, and all that were delivered.
    Known { as_of: Seq },
}

/// The presence of one user.
pub(super) struct Presence {
    user: Subject,
    watchers: Watchers,
    view: View,
    devices: Devices,
    /// When the last device left, in milliseconds since 1970, if it was heard.
    offline_since: Option<u64>,
    is_changed: bool,
    /// The digest of what the watchers were told.
    told: Option<u64>,
    /// When the next change may be told.
    tell_at: Option<Instant>,
    /// When the log is to be asked again.
    ask_at: Option<Instant>,
}

impl Presence {
    /// The presence of a user of whom nothing is known yet.
    pub(super) fn new(user: Subject) -> Self {
        Self {
            user,
            watchers: Watchers::default(),
            view: View::Unknown,
            devices: Devices::default(),
            offline_since: None,
            is_changed: false,
            told: None,
            tell_at: None,
            ask_at: None,
        }
    }

    pub(super) fn has_watchers(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// Adds a socket, which is told how the user is as soon as that is known.
    pub(super) fn watch(&mut self, watch: WatchCommand, position: Seq, queue: &mut AppendQueue) {
        self.watchers.add(watch.socket, watch.outbox);
        if matches!(self.view, View::Unknown) && self.ask_at.is_none() {
            self.ask(position, queue);
        }
    }

    /// Removes a socket.
    pub(super) fn unwatch(&mut self, socket: SocketId) {
        self.watchers.remove(socket);
    }

    /// Asks the log for the devices, although a question may be under way.
    pub(super) fn ask(&mut self, position: Seq, queue: &mut AppendQueue) {
        self.ask_at = None;
        self.view = View::Asked { from: position, later: Vec::new() };
        queue.push_housekeeping(Op::Inspect);
    }

    /// Asks the log if that is due.
    pub(super) fn ask_if_due(
        &mut self,
        position: Seq,
        queue: &mut AppendQueue,
        step: &mut StepContext<'_>,
    ) {
        match self.ask_at {
            Some(at) if at <= step.environment.now => self.ask(position, queue),
            // The timer was for an earlier change.
            Some(at) => step.timers.presence(at),
            None => {}
        }
    }

    /// Takes in the devices. An answer to an earlier question, which does not reach up to this one, is passed over.
    pub(super) fn on_view(&mut self, view: &RoomView, step: &mut StepContext<'_>) {
        let View::Asked { from, later } = &mut self.view else { return };
        if view.head < *from {
            return;
        }
        let later = std::mem::take(later);
        self.view = View::Known { as_of: view.head };
        self.devices = Devices::read(&view.members);
        self.is_changed = true;
        for member in &view.members {
            step.effects.watch.push(member.node.clone());
            if let Some(away) = member.away {
                step.member_away(&member.peer, away);
            }
        }
        for (seq, entry) in &later {
            self.on_entry(*seq, entry, step);
        }
    }

    /// Applies an entry that was delivered.
    pub(super) fn on_entry(&mut self, seq: Seq, entry: &Entry, step: &mut StepContext<'_>) {
        match entry {
            Entry::Reset { .. } => self.ask_after(RESTORE_WINDOW, step),
            Entry::Unreadable => self.ask_after(Duration::ZERO, step),
            Entry::Joined { .. } | Entry::Updated { .. } | Entry::Left { .. } => {
                self.on_device(seq, entry, step);
            }
            Entry::Signal { .. }
            | Entry::Announced { .. }
            | Entry::Away { .. }
            | Entry::Back { .. }
            | Entry::Call(_)
            | Entry::Unknown => {}
        }
    }

    fn on_device(&mut self, seq: Seq, entry: &Entry, step: &mut StepContext<'_>) {
        match &mut self.view {
            View::Asked { later, .. } if later.len() < LATER => later.push((seq, entry.clone())),
            View::Asked { .. } => self.ask_after(Duration::ZERO, step),
            View::Known { as_of } if seq > *as_of => {
                self.devices.apply(entry);
                self.is_changed = true;
                if matches!(entry, Entry::Left { .. }) {
                    self.offline_since = step.environment.cluster.log_time().map(milliseconds);
                }
            }
            View::Known { .. } | View::Unknown => {}
        }
    }

    /// Has the log asked after a while. The devices stay as they were told until then.
    pub(super) fn ask_after(&mut self, time: Duration, step: &mut StepContext<'_>) {
        let at = step.environment.now + time;
        self.view = View::Unknown;
        self.ask_at = Some(at);
        step.timers.presence(at);
    }

    /// Follows a log that begins anew. If devices are known, it may have lost them, and their nodes restore them.
    pub(super) fn begin_anew(&mut self, queue: &mut AppendQueue, step: &mut StepContext<'_>) {
        if self.devices.is_empty() {
            self.ask(Seq(0), queue);
        } else {
            self.ask_after(RESTORE_WINDOW, step);
        }
    }

    /// Tells whether a device may be online over one of these nodes.
    pub(super) fn may_be_on(&self, silent: &[Silent]) -> bool {
        let is_known = matches!(self.view, View::Known { .. });
        let is_silent = |node: &_| silent.iter().any(|silent| silent.node == *node);
        self.has_watchers() && (!is_known || self.devices.any_on(is_silent))
    }

    /// Tells the watchers what has changed, and new ones how the user is.
    pub(super) fn tell(&mut self, step: &mut StepContext<'_>) {
        let is_known = matches!(self.view, View::Known { .. });
        let is_changed = is_known && self.may_tell_change(step);
        let has_new = self.watchers.has_new() && (is_known || self.told.is_some());
        if is_changed || has_new {
            let frame = Bytes::from(self.devices.frame(&self.user, self.offline_since));
            self.watchers.push(&frame, is_changed);
        }
    }

    /// Tells whether there is a visible change and its time has come.
    fn may_tell_change(&mut self, step: &mut StepContext<'_>) -> bool {
        if !self.is_changed {
            return false;
        }
        let now = step.environment.now;
        if let Some(at) = self.tell_at.filter(|at| now < *at) {
            step.timers.presence(at);
            return false;
        }
        self.is_changed = false;
        let digest = self.devices.digest();
        if self.told == Some(digest) {
            return false;
        }
        self.told = Some(digest);
        self.tell_at = Some(now + TELL_EVERY);
        step.count(Count::PresenceChanged);
        true
    }

    /// Ends all watches: the inbox ends here.
    pub(super) fn close(&mut self) {
        self.watchers.end(&self.user);
    }
}
