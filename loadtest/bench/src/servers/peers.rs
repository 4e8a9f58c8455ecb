//! The servers of others: thin programs over their published packages, in `loadtest/peers`.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::process::{Process, on_first_core};
use crate::problem::Problem;

/// Starts Socket.IO with its Redis adapter.
pub(super) async fn socket_io(folder: &Path, redis: &str) -> Result<Process, Problem> {
    let mut command = on_first_core("node");
    Process::start("socket.io", command.arg("socketio.js").arg(redis).current_dir(folder)).await
}

/// Starts the `PeerJS` server.
pub(super) async fn peer_js(folder: &Path) -> Result<Process, Problem> {
    let mut command = on_first_core("node");
    Process::start("PeerJS", command.arg("peerjs.js").current_dir(folder)).await
}

/// Starts `matchbox_server` as it comes.
pub(super) async fn matchbox(program: &Path) -> Result<Process, Problem> {
    let address = free_address()?;
    let mut command = on_first_core(program);
    command.arg(address.to_string()).env("RUST_LOG", "warn");
    Process::start_at("matchbox_server", &mut command, address).await
}

/// Finds a port that is free now.
pub(super) fn free_address() -> Result<SocketAddr, Problem> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
