//! The sessions that polls carry, by their secret names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine_io::RequestError;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::carrier::Carrier;

/// Requests of one client that may wait for its session. A client sends one of each kind at a time.
const WAITING: usize = 8;

/// The body that answers a request, or why it is refused.
pub(super) type Answer = Result<String, RequestError>;

/// A request of a client for its session.
pub(super) enum Request {
    /// Is answered with packets once there are some.
    Poll(oneshot::Sender<Answer>),
    /// Brings packets.
    Post(String, oneshot::Sender<Answer>),
    /// Is to carry the session from now on.
    WebSocket(Carrier),
    /// Tells that a WebSocket has come to another node.
    Probe(oneshot::Sender<Answer>),
    /// Gives the session to the node to which its WebSocket has come.
    Release(oneshot::Sender<Answer>),
}

/// A request that comes over another node, or over none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    Poll,
    Post(String),
    Probe,
    Release,
}

/// The sessions of this node that began with polling.
#[derive(Default)]
pub(super) struct EngineSessions {
    by_sid: Mutex<HashMap<String, mpsc::Sender<Request>>>,
}

/// The place of a session in the list, for as long as it lives.
pub(super) struct Listed {
    sessions: Arc<EngineSessions>,
    sid: String,
}

impl EngineSessions {
    fn by_sid(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Request>>> {
        self.by_sid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a session, and returns where its requests come.
    pub(super) fn list(self: &Arc<Self>, sid: &str) -> (Listed, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(WAITING);
        self.by_sid().insert(sid.to_owned(), requests);
        (Listed { sessions: self.clone(), sid: sid.to_owned() }, receiver)
    }

    /// Tells whether there is a session of this name.
    pub(super) fn has(&self, sid: &str) -> bool {
        self.by_sid().contains_key(sid)
    }

    /// Has a session answer a request.
    pub(super) async fn request(&self, sid: &str, ask: Ask) -> Answer {
        let (answer, answered) = oneshot::channel();
        let request = match ask {
            Ask::Poll => Request::Poll(answer),
            Ask::Post(body) => Request::Post(body, answer),
            Ask::Probe => Request::Probe(answer),
            Ask::Release => Request::Release(answer),
        };
        self.send(sid, request)?;
        answered.await.unwrap_or(Err(RequestError::UnknownSession))
    }

    /// Gives a session the WebSocket that is to carry it.
    pub(super) fn move_to(&self, sid: &str, carrier: Carrier) {
        // Without a session the connection ends here.
        let _ = self.send(sid, Request::WebSocket(carrier));
    }

    fn send(&self, sid: &str, request: Request) -> Result<(), RequestError> {
        let session = self.by_sid().get(sid).cloned().ok_or(RequestError::UnknownSession)?;
        session.try_send(request).map_err(|_| RequestError::BadRequest)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.sessions.by_sid().remove(&self.sid);
    }
}
