//! Tests of the components inside the all-in-one program.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod relay;
