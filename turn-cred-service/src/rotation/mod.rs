//! Rotates the secrets that coturn reads from its Redis, without a credential ever being refused.
//!
//! A new secret is added to the set, proved by an allocation on every relay, and signs only then;
//! the previous one stays in the set until everything it signed has expired. The instances of the
//! service share a ledger beside the set ([`ledger`]). All of them apply it ([`rotator`]), and the
//! holder of a lease in Redis takes the next step. A step changes ledger and set in one script, so
//! a crash loses none and repeats none.

pub mod ledger;
mod prove;
pub mod rotator;

pub use ledger::{Fingerprint, Ledger, RotationPolicy, RotationRequest};
pub use rotator::SecretRotator;
