//! Breaks a running cluster on purpose, records what its clients saw, and checks the promises.
//!
//! Three real nodes and a real Redis run as child processes, with a proxy in every connection.
//! The clients are those of `signal-client`; they note what they send and see. A nemesis
//! breaks things by a schedule that is drawn from a seed. What the clients noted is a [`history`],
//! and the [`check`]s are functions over it: they know the promises of docs/PROTOCOL.md and
//! nothing about nodes.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a check selects few of the events of a history"
)]

pub mod check;
pub mod client;
pub mod cluster;
pub mod history;
pub mod nemesis;
pub mod page;
pub mod proxy;
pub mod report;
pub mod scenario;
pub mod simulation;
