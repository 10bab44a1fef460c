//! What a simulated pool is made with.

use std::fmt;
use std::time::Duration;

/// What a simulated pool is made with; [`Options::default`] is a pool at natural speed.
#[derive(Clone)]
pub struct Options {
    /// The one user that may log in over HTTP and HTTPS. Default `root`.
    pub user: String,
    /// That user's password. Default `simulated`.
    pub password: String,
    /// How much faster than nature operations run: 1.0 starts a VM in about four seconds, 100.0 in 40 ms. Default 1.0.
    pub speed: f64,
    /// Every so often a running VM goes Halted by itself. Real time, `speed` does not touch it. Default never.
    pub crash_every: Option<Duration>,
    /// What made-up references, uuids and choices follow from. Default 1.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { user: "root".into(), password: "simulated".into(), speed: 1.0, crash_every: None, seed: 1 }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Options")
            .field("user", &self.user)
            .field("speed", &self.speed)
            .field("crash_every", &self.crash_every)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
