//! The state of the way between one node and the log.

use tokio::sync::watch;

/// Whether anything gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It does.
    Open,
    /// It waits.
    Stalled,
    /// It fails.
    Cut,
    /// The node is dead: nothing of it is ever heard again.
    Dead,
}

/// The way at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) way: Way,
    /// Whether subscriptions hear nothing although calls go through.
    pub(super) deaf: bool,
    /// Which connection this is: what was under way on another one is lost.
    pub(super) connection: u64,
}

/// The way between one node and the log.
pub(super) struct Link {
    state: watch::Sender<State>,
    reconnects: watch::Sender<u64>,
}

impl Link {
    pub(super) fn new() -> Self {
        let state = State { way: Way::Open, deaf: false, connection: 0 };
        Self { state: watch::Sender::new(state), reconnects: watch::Sender::new(0) }
    }

    pub(super) fn now(&self) -> State {
        *self.state.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(super) fn reconnects(&self) -> watch::Receiver<u64> {
        self.reconnects.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let alive = state.way != Way::Dead;
            if alive {
                change(state);
            }
            alive
        });
    }

    /// Lets things through, hold them up, or fail from now on; what was under way is not lost.
    pub(super) fn set(&self, way: Way) {
        self.change(|state| state.way = way);
    }

    /// Has subscriptions hear nothing.
    pub(super) fn deafen(&self) {
        self.change(|state| state.deaf = true);
    }

    /// Begins a new connection, on which all is well.
    pub(super) fn reconnect(&self) {
        self.change(|state| {
            *state = State { way: Way::Open, deaf: false, connection: state.connection + 1 };
        });
        self.reconnects.send_modify(|count| *count += 1);
    }
}

/// Waits until something gets through or fails, and tells which; for ever if the node is dead.
pub(super) async fn passable(watch: &mut watch::Receiver<State>) -> State {
    let moves = |state: &State| matches!(state.way, Way::Open | Way::Cut);
    match watch.wait_for(moves).await.map(|state| *state) {
        Ok(state) => state,
        Err(_) => std::future::pending().await,
    }
}
