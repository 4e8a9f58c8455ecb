//! The parts of a laptop's one process that neither service has: so far its TURN relay.

pub mod relay;
