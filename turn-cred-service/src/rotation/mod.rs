//! Rotates the secrets that coturn reads from its Redis, so that nobody notices.
//!
//! A new secret is added to the set, proved by a real allocation on every relay, and only then signs; the
//! one before is accepted until everything that it signed has ended. The credential services of a cluster
//! agree in a ledger beside the set ([`ledger`]): each follows it ([`keeper`]), and one of them, whoever
//! has the lead, takes the next step. A step is one atomic change, so a crash loses none and repeats none.

pub mod ledger;
mod prove;
pub mod rotator;

pub use ledger::{Fingerprint, Ledger, RotationPolicy, RotationRequest};
pub use rotator::SecretRotator;
