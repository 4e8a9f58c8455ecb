//! Breaks the cluster by a schedule that is drawn from a seed, and mends it again.

mod run;
mod schedule;

pub use run::{NemesisError, execute};
pub use schedule::{ALL, Mix, Planned, schedule};
