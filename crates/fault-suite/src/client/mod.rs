//! Clients that note what they send and see: each is the machine of `signal-client`, as applications use it.
//!
//! `session` drives the machine and decides when a client comes, sends and goes; `observer` makes notes of what the
//! machine tells, and asserts what every client may; `sockets` leads through the endpoints of a cluster or of a simulation;
//! `load` says what is sent when.

mod context;
mod dial;
mod load;
mod observer;
mod session;
mod sockets;

pub use crate::history::UNRECORDED;
pub use context::{Context, Counters, Directory, Phase};
pub use dial::{Endpoints, admin_token, connect_from, dial, dial_from, moderator_token, token};
pub use load::{Behaviour, Pace, Profile};
pub use observer::Announcement;
pub use signal_client::transport::{Socket, Wire};

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
