//! What calls came in, for tests to look at.

use std::collections::BTreeMap;
use std::time::Duration;

/// What calls came in since the pool was made.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// How many calls of each method, by the name as sent.
    pub by_method: BTreeMap<String, u64>,
    /// When logins with a password were tried, counted from the pool's beginning.
    pub logins: Vec<Duration>,
    /// Requests that were no call at all.
    pub malformed: u64,
}

impl Calls {
    /// How many calls of this method came in.
    #[must_use]
    pub fn of(&self, method: &str) -> u64 {
        self.by_method.get(method).copied().unwrap_or_default()
    }
}
