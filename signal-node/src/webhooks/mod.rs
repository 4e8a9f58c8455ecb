//! Tells back ends what happens in rooms and calls, by signed HTTP requests (<https://www.standardwebhooks.com>).
//!
//! The log queues an event with the change that it tells of. The [`Sender`] of a node sends what its rooms have queued, and
//! what rooms have queued that no node attends to any more. It waits for nobody and nobody waits for it. A message is sent at
//! least once, with the same id each time, and in the order of its room.

mod address;
mod attendance;
mod backoff;
mod delivery;
mod endpoint;
mod message;
mod probe;
mod schedule;
mod sender;
mod settings;
mod signature;

pub use endpoint::EndpointUrl;
pub use message::EventType;
pub use probe::probe;
pub use sender::{Sender, SenderParts};
pub use settings::WebhookSettings;
pub use signature::{WebhookKeyError, check_keys};
