//! The laptop's parts from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod relay;
