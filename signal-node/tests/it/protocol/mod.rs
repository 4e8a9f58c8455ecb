//! `docs/PROTOCOL.md` sentence by sentence, over real sockets.

mod input;
mod limits;
mod nodes;
mod rooms;
mod upgrade;
