//! The sockets of one client, and the endpoints that they lead through.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use signal_client::core::LinkId;
use signal_client::socket::{Inbox, SocketEvent, SocketTask};
use tokio::sync::mpsc;

use super::dial::Endpoints;

/// Frames that are heard and not handled.
const INBOX: usize = 256;

pub(super) struct Sockets {
    open: BTreeMap<LinkId, (usize, SocketTask)>,
    inbox: Inbox,
    heard: mpsc::Receiver<(LinkId, SocketEvent)>,
    endpoints: Arc<dyn Endpoints>,
    first_endpoint: Option<usize>,
    last_endpoint: Option<usize>,
}

impl Sockets {
    pub(super) fn new(endpoints: Arc<dyn Endpoints>, first_endpoint: Option<usize>) -> Self {
        let (inbox, heard) = mpsc::channel(INBOX);
        Self { open: BTreeMap::new(), inbox, heard, endpoints, first_endpoint, last_endpoint: None }
    }

    /// Drops every socket without a word; nothing of them is heard any more.
    pub(super) fn drop_all(&mut self) {
        self.open.clear();
        (self.inbox, self.heard) = mpsc::channel(INBOX);
    }

    /// Waits for what a socket hears.
    pub(super) async fn receive(&mut self) -> Option<(LinkId, SocketEvent)> {
        self.heard.recv().await
    }

    /// Returns what a socket has heard, if there is something.
    pub(super) fn try_receive(&mut self) -> Option<(LinkId, SocketEvent)> {
        self.heard.try_recv().ok()
    }

    pub(super) fn endpoint(&self, link: LinkId) -> Option<usize> {
        self.open.get(&link).map(|(endpoint, _)| *endpoint)
    }

    /// Opens a socket to another node than the last one, as a balancer that knows of the loss would.
    pub(super) fn open(&mut self, link: LinkId, token: String, rng: &mut Rng) {
        let count = self.endpoints.count();
        let endpoint = match (self.first_endpoint.take(), self.last_endpoint) {
            (Some(endpoint), _) => endpoint,
            (None, Some(last)) if count > 1 => (last + rng.usize(1..count)) % count,
            (None, _) => rng.usize(0..count),
        };
        self.last_endpoint = Some(endpoint);
        let dialing = self.endpoints.dial(endpoint, token);
        let opening = async move { dialing.await.map_err(Into::into) };
        let socket = SocketTask::start(link, opening, None, self.inbox.clone());
        self.open.insert(link, (endpoint, socket));
    }

    /// Sends a frame; false if the socket takes no more.
    pub(super) fn send(&self, link: LinkId, text: String) -> bool {
        self.open.get(&link).is_none_or(|(_, socket)| socket.send(text))
    }

    pub(super) fn close(&mut self, link: LinkId, code: u16) {
        if let Some((_, socket)) = self.open.remove(&link) {
            socket.close(code);
        }
    }

    pub(super) fn remove(&mut self, link: LinkId) {
        self.open.remove(&link);
    }
}
