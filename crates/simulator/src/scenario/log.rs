//! What scenarios did, in the order in which it was done.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::clock::Moment;

/// Happenings kept; the oldest goes when one more comes.
const KEPT_MAX: usize = 10_000;

/// One thing that a scenario did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// Its number, from 0.
    pub number: u64,
    /// When, after the beginning of the first scenario, at natural speed, to the millisecond.
    pub at: Duration,
    /// What, in plain words, a single line.
    pub what: String,
    /// Whether it is one of the many changes of a load, which are too many to read.
    pub load: bool,
}

/// `  12.500 s  all sessions end`.
impl fmt::Display for Happening {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:9.3} s  {}", self.at.as_secs_f64(), self.what)
    }
}

/// All that is kept.
#[derive(Debug, Default)]
pub(crate) struct Log {
    begun: Option<Moment>,
    kept: VecDeque<Happening>,
    next: u64,
}

impl Log {
    /// Times are told from here on, if nothing has begun before.
    pub(super) fn begin(&mut self, now: Moment) {
        self.begun.get_or_insert(now);
    }

    /// Keeps what is done at a moment of a pool of this speed.
    pub(super) fn add(&mut self, now: Moment, speed: f64, what: String, load: bool) {
        let since = now.saturating_sub(self.begun.unwrap_or_default()).mul_f64(speed);
        let at = Duration::from_millis(u64::try_from((since + HALF).as_millis()).unwrap_or(u64::MAX));
        self.kept.push_back(Happening { number: self.next, at, what, load });
        self.next += 1;
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }

    /// What is kept from a number on.
    pub(crate) fn from(&self, number: u64) -> Vec<Happening> {
        let skipped = self.kept.partition_point(|happening| happening.number < number);
        self.kept.iter().skip(skipped).cloned().collect()
    }
}

/// Half a millisecond, to round by.
const HALF: Duration = Duration::from_micros(500);
