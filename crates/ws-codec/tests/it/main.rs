//! The codec against another one, against the list of what RFC 6455 forbids, and what an idle connection owns.

mod against_tungstenite;
mod closing;
mod comparison;
mod conformance;
mod idle;
mod rules;
mod support;
