//! Real servers on free ports of loopback, ended with the test that started them.

pub(crate) mod node;
pub(crate) mod observed;
pub(crate) mod peer;
pub(crate) mod polling;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod topologies;
pub(crate) mod way;
