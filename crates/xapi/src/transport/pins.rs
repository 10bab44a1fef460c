//! Fingerprints that came to be believed while a pool was followed: its own word over a connection that was believed.

use std::sync::{PoisonError, RwLock};

use subtle::ConstantTimeEq as _;

use super::endpoint::Fingerprint;

/// Shared by all transports to one pool. Counts beside the pins of an endpoint with [`Trust::Pinned`], and only there:
/// it never opens what an authority or nobody vouches for.
///
/// [`Trust::Pinned`]: super::Trust::Pinned
#[derive(Debug, Default)]
pub struct LearnedPins(RwLock<Vec<Fingerprint>>);

impl LearnedPins {
    /// Puts these in place of those before, and gives those that are new.
    pub fn replace(&self, pins: Vec<Fingerprint>) -> Vec<Fingerprint> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let new = pins.iter().filter(|pin| !known.contains(pin)).copied().collect();
        *known = pins;
        new
    }

    /// Whether a certificate of that fingerprint is believed.
    #[must_use]
    pub fn contains(&self, shown: &Fingerprint) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|pin| bool::from(pin.0.ct_eq(&shown.0)))
    }
}
