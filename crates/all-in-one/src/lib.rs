//! A laptop's cluster: node, credential service and TURN relay in one process, on loopback.
//!
//! The parts are the real ones and talk as they do in production: the node asks the credential service over
//! its Unix socket, and the relay checks what it issued. Only the log is this process's memory.

pub mod local_cluster;
pub mod relay;
pub mod settings;
