//! The node from outside: its log on both backends, its protocol over real sockets, two nodes over Redis.

mod log_suite;
mod protocol;
mod support;
