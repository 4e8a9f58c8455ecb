//! What watchers mean for the inbox that they keep open.

use super::command::WatchCommand;
use super::effect::StepContext;
use super::fanout::is_inbox;
use super::local_room::LocalRoom;
use super::presence::Presence;
use super::requests;
use crate::log::{RoomView, SocketId};

/// Adds a watcher.
pub(super) fn watch(local: &mut LocalRoom, command: WatchCommand) {
    let LocalRoom { presence, cursor, queue, .. } = local;
    let presence = presence.get_or_insert_with(|| Box::new(Presence::new(command.user.clone())));
    presence.watch(command, cursor.position(), queue);
}

/// Removes a watcher. The last one takes with it what is known.
pub(super) fn unwatch(local: &mut LocalRoom, socket: SocketId) {
    if let Some(presence) = &mut local.presence {
        presence.unwatch(socket);
    }
    local.presence.take_if(|presence| !presence.has_watchers());
}

/// Takes in what the log tells of the inbox. Where nobody has joined here, delivery begins at its head.
pub(super) fn on_view(local: &mut LocalRoom, view: &RoomView, step: &mut StepContext<'_>) {
    let Some(presence) = &mut local.presence else { return };
    local.cursor.begin(view.head);
    presence.on_view(view, step);
    local.note_head(view.head, step);
    requests::suspect(local, step);
}

/// Asks the log anew: entries may have been missed.
pub(super) fn ask_again(local: &mut LocalRoom) {
    let LocalRoom { presence, cursor, queue, .. } = local;
    if let Some(presence) = presence {
        presence.ask(cursor.position(), queue);
    }
}

/// Asks the log if that is due.
pub(super) fn on_due(local: &mut LocalRoom, step: &mut StepContext<'_>) {
    let LocalRoom { presence, cursor, queue, .. } = local;
    if let Some(presence) = presence {
        presence.ask_if_due(cursor.position(), queue, step);
    }
}

/// Follows the log of an inbox that ends before what was delivered, where no device is here that would have to be put back: the
/// keys of the inbox have ended since, or its writes are lost. Tells whether that was so.
pub(super) fn begin_anew(local: &mut LocalRoom, step: &mut StepContext<'_>) -> bool {
    if !is_inbox(step.room) || !local.holds_nobody() {
        return false;
    }
    let LocalRoom { presence, cursor, queue, .. } = local;
    cursor.restart();
    if let Some(presence) = presence {
        presence.begin_anew(queue, step);
    }
    true
}

/// Tells the watchers what has changed. Where all of their sessions are over, nothing is left of the presence.
pub(super) fn tell(local: &mut LocalRoom, step: &mut StepContext<'_>) {
    if let Some(presence) = &mut local.presence {
        presence.tell(step);
    }
    local.presence.take_if(|presence| !presence.has_watchers());
}
