//! Protocols of others, so that their clients connect to this cluster unchanged: translators without I/O, clock or async.
//!
//! A session owns a [`Dialect`]. The text of the client goes into it, and so do the frames of `signal.v1` that the session
//! would have sent to a client of ours; [`DialectEffect`]s come out. The rooms of a dialect have names that no client of
//! `signal.v1` can write ([`signal_protocol::RoomId::of_dialect`]).
//!
//! - [`dialect`]: the trait, its effects, and the results that come back
//! - [`posts`]: posts that wait for each other, one in flight for each room
//! - [`topics`]: y-webrtc and trystero
//! - [`peerjs`]: clients of `PeerJS`
//! - [`matchbox`]: games with matchbox
//! - [`socketio`]: clients of Socket.IO, with the server program of the WebRTC codelab

pub mod dialect;
mod frame;
pub mod matchbox;
pub mod peerjs;
pub mod posts;
mod roster;
mod signals;
pub mod socketio;
pub mod topics;

pub use dialect::{
    ConnectionEnd, Dialect, DialectEffect, DialectName, DrainTime, Effects, IgnoredReason,
    MembershipEnd, PostOutcome, RoomJoin, RoomPost, RoomSignal,
};
pub use matchbox::Matchbox;
pub use peerjs::PeerJs;
pub use socketio::SocketIo;
pub use topics::Topics;
