//! Model clients: they follow docs/PROTOCOL.md as the SDK does, and note what they send and see.
//!
//! `member` is one membership and knows no socket; `outgoing` is its stream of kept messages;
//! `link` is one socket, `links` the one in use and its successor; `session` decides when sockets are
//! opened and left; `load` says what is sent when.

mod alarms;
mod backoff;
mod context;
mod frame;
mod link;
mod links;
mod load;
mod member;
mod outgoing;
mod session;

pub use context::{Context, Directory, Phase, Tally};
pub use link::{Socket, dial, token};
pub use load::{Conduct, Pace, Profile};

use std::sync::Arc;

use tokio::task::JoinHandle;

use session::Session;

/// A running client; it ends when told through [`Context::phase`], or with this value.
pub struct Client(JoinHandle<()>);

impl Client {
    /// Starts a client with this number.
    #[must_use]
    pub fn start(context: &Arc<Context>, number: u32, profile: Profile) -> Self {
        let session = Session::new(Arc::clone(context), number, profile);
        Self(tokio::spawn(session.run()))
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When the client did: it holds its own view of the protocol and asserts it.
    pub async fn ended(mut self) {
        (&mut self.0).await.expect("a client does not panic");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.abort();
    }
}
