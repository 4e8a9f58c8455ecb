//! The shapes an answer is written in.

pub mod native;
