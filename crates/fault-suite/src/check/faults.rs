//! When which fault was under way.

use std::collections::HashMap;

use super::model::Model;
use crate::history::{FaultKind, What};

/// A fault, from its beginning to its healing.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultPeriod {
    pub(super) number: u32,
    pub(super) kind: FaultKind,
    pub(super) from: u64,
    pub(super) to: u64,
    /// The node it affects, if one.
    pub(super) node: Option<u8>,
}

/// All faults of a run; one that never healed lasts for ever.
pub(super) fn faults(model: &Model<'_>) -> Vec<FaultPeriod> {
    let mut found: HashMap<u32, FaultPeriod> = HashMap::new();
    for event in model.events {
        match event.what {
            What::Fault { fault, kind, node } => {
                let (number, from, to) = (fault, event.at, u64::MAX);
                found.insert(fault, FaultPeriod { number, kind, from, to, node });
            }
            What::Healed { fault } => {
                if let Some(fault) = found.get_mut(&fault) {
                    fault.to = event.at;
                }
            }
            _ => {}
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|fault| fault.from);
    found
}
