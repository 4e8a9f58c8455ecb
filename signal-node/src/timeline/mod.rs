//! What happened in a room, for people who ask afterwards why a call failed.
//!
//! A room tells the [`Recorder`] who came, went and was away, and a session what its client reported of a call. The recorder
//! stores them as lines beside the room, off the path of signals; nothing depends on them.

mod attempt;
mod event;
mod explain;
mod finding;
mod recorder;
mod rules;

pub use event::{Event, Line};
pub use explain::findings;
pub use finding::{Finding, Severity};
pub(crate) use recorder::now;
pub use recorder::{Entered, Recorder};
