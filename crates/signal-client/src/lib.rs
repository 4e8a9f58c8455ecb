//! A client of the signaling protocol `signal.v1`: rooms of WebRTC peers, and ordered signals between them that arrive
//! exactly once.
//!
//! [`Client::builder`] connects in the background and comes back by itself whenever the connection is lost or a node
//! ends. [`Client::join`] makes this client a member of a room; [`Room::next`] returns what happens there, and
//! [`RoomHandle::signal`] sends. A bot that joins a room and answers everyone who speaks to it:
//!
//! ```no_run
//! use signal_client::{Client, JoinOptions, RoomEvent, Sender};
//!
//! # async fn fetch_token() -> Result<String, std::io::Error> { Ok(String::new()) }
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::builder("wss://signal.example.org").token(fetch_token).connect()?;
//!     let options = JoinOptions::default().meta(&serde_json::json!({"name": "bot"}));
//!     let mut room = client.join("demo", options).await?;
//!     while let Some(event) = room.next().await {
//!         match event {
//!             RoomEvent::PeerJoined { member, .. } => drop(room.signal(&member.id, "welcome")),
//!             RoomEvent::Signal { from: Sender::Peer(peer), addressed: true, data, .. } => {
//!                 // Ready once the answer has its place in the room's log.
//!                 room.signal(&peer, &data).await?;
//!             }
//!             RoomEvent::Left(because) => println!("{because}"),
//!             _ => {}
//!         }
//!     }
//!     client.close().await;
//!     Ok(())
//! }
//! ```
//!
//! A call also needs relays: they are in [`Client::ice`]. A token provider is asked again when a node refuses a
//! token, and before one expires ([`TokenProvider`]).
//!
//! # What is promised
//!
//! A signal whose [`Pending`] became `Ok` reaches each member that it is for exactly once and in order, over lost
//! connections and nodes that are killed, as `docs/PROTOCOL.md` says in section 13. No future of this crate loses
//! anything when it is dropped: not an event, not a message.
//!
//! # How it is built
//!
//! [`core`] is the whole client as a pure state machine, for simulations and for transports of your own; [`socket`] and
//! [`transport`] are the WebSocket in front of it.

mod client;
mod clock;
mod command;
pub mod core;
mod driver;
mod provider;
mod queue;
mod random;
mod room;
pub mod socket;
pub mod transport;

pub use client::{Builder, Client, JoinError, JoinOptions};
pub use core::{
    LeftBecause, Loss, Me, Member, Payload, Refusal, RoomEvent, Roster, SendError, Sender, State,
    Stop, Token,
};
pub use provider::{ProviderError, TokenProvider};
pub use room::{Pending, Room, RoomHandle};
pub use signal_protocol::{IceServer, IceServers, LeaveReason, PeerId, Recovery, RoomId, Seq};
pub use transport::{SetupError, check_address};

/// The snippets of documents, which are compiled.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/guides/rust.md")]
    struct Guide;
}
