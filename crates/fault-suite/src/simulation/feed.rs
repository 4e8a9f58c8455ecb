//! A subscription on its way from the log to a node: in order, late, and sometimes with a hole.

use std::sync::Arc;

use signal_node::log::{Feed, FeedEvent, FeedSender, LogError, RoomLog as _};
use signal_protocol::RoomId;
use tokio::sync::watch;
use tokio::time::sleep;

use super::dice::Dice;
use super::link::{State, Way, passable};
use super::store::Store;

/// One entry in so many is lost, which the subscriber is told later.
const LOST_ENTRIES: u32 = 150;

/// Forwards one room's entries to one node.
pub(super) struct Forwarder {
    store: Arc<Store>,
    room: RoomId,
    link: watch::Receiver<State>,
    dice: Dice,
    source: Feed,
    sender: FeedSender,
    connection: u64,
}

impl Forwarder {
    /// Subscribes, and forwards until nobody listens any more.
    pub(super) async fn start(
        store: Arc<Store>,
        room: RoomId,
        link: watch::Receiver<State>,
        dice: Dice,
        sender: FeedSender,
    ) -> Result<(), LogError> {
        let source = store.log().open(&room).await?;
        let connection = link.borrow().connection;
        tokio::spawn(Self { store, room, link, dice, source, sender, connection }.run());
        Ok(())
    }

    async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                () = self.sender.closed() => return,
                changed = self.link.changed() => if changed.is_err() { return },
                event = self.source.next() => match event {
                    Some(event) => self.forward(event).await,
                    None => return,
                },
            }
            self.follow().await;
        }
    }

    /// Subscribes anew on a new connection; what came in between is missing.
    async fn follow(&mut self) {
        let now = *self.link.borrow();
        if now.connection == self.connection {
            return;
        }
        self.connection = now.connection;
        if let Ok(source) = self.store.log().open(&self.room).await {
            self.source = source;
        }
        sleep(self.dice.delay()).await;
        self.sender.miss();
    }

    async fn forward(&mut self, event: FeedEvent) {
        sleep(self.dice.delay()).await;
        let state = passable(&mut self.link).await;
        let whole = state.way == Way::Open && state.connection == self.connection;
        if !whole || state.deaf {
            return;
        }
        if self.dice.one_in(LOST_ENTRIES) {
            sleep(self.dice.delay()).await;
            return self.sender.miss();
        }
        self.sender.push(event);
    }
}
