//! Node, credential service and TURN relay in one process on loopback, for development.
//!
//! The components are those of production and use the same interfaces: the node requests
//! credentials over a Unix socket, and the relay verifies them. Only the room log is in memory.

pub mod local_cluster;
pub mod relay;
pub mod settings;
