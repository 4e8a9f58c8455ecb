//! Injects faults into the cluster by a schedule that is drawn from a seed, and heals them.

mod run;
mod schedule;

pub use run::{NemesisError, execute};
pub use schedule::{ALL, FaultWeights, Planned, schedule};
