//! The pool's time: moments since it began, and the dates that records carry.

use std::collections::BTreeMap;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};
use xapi::Value;

/// A moment, counted from the pool's beginning.
pub(crate) type Moment = Duration;

/// Now, and how fast things take their course.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    epoch: jiff::Timestamp,
    now: Moment,
    speed: f64,
}

impl Clock {
    /// A clock that stands at the beginning. `speed` 2 makes everything last half as long.
    pub(crate) fn new(epoch: jiff::Timestamp, speed: f64) -> Self {
        Clock { epoch, now: Moment::ZERO, speed: if speed.is_nan() || speed <= 0.0 { 1.0 } else { speed } }
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// How much faster than nature things take their course.
    pub(crate) fn speed(&self) -> f64 {
        self.speed
    }

    /// Goes on; time never runs back.
    pub(crate) fn set(&mut self, now: Moment) {
        self.now = self.now.max(now);
    }

    /// How long something that takes `seconds` at speed 1 takes here.
    pub(crate) fn lasting(&self, seconds: f64) -> Duration {
        // A speed near zero would overflow; a year is as good as for ever.
        const YEAR: f64 = 31_536_000.0;
        Duration::from_secs_f64((seconds / self.speed).clamp(0.0, YEAR))
    }

    /// The present date as records carry it.
    pub(crate) fn date(&self) -> Value {
        Value::DateTime(self.date_text())
    }

    /// The present moment in whole seconds since 1970.
    pub(crate) fn unix_seconds(&self) -> i64 {
        self.epoch.checked_add(self.now).unwrap_or(jiff::Timestamp::MAX).as_second()
    }

    /// The date's text so many seconds ago; texts of dates compare as the dates do.
    pub(crate) fn date_before(&self, seconds: i64) -> SmolStr {
        let span = jiff::SignedDuration::from_secs(seconds);
        let at = self.epoch.checked_add(self.now).and_then(|now| now.checked_sub(span));
        format_smolstr!("{}", at.unwrap_or(jiff::Timestamp::MIN).strftime("%Y%m%dT%H:%M:%SZ"))
    }

    /// The present date's text.
    pub(crate) fn date_text(&self) -> SmolStr {
        let at = self.epoch.checked_add(self.now).unwrap_or(jiff::Timestamp::MAX);
        format_smolstr!("{}", at.strftime("%Y%m%dT%H:%M:%SZ"))
    }
}

/// What is due when; first in, first out within a moment.
#[derive(Debug)]
pub(crate) struct Schedule<S> {
    steps: BTreeMap<(Moment, u64), S>,
    next: u64,
}

impl<S> Schedule<S> {
    pub(crate) fn new() -> Self {
        Schedule { steps: BTreeMap::new(), next: 0 }
    }

    pub(crate) fn add(&mut self, at: Moment, step: S) {
        self.steps.insert((at, self.next), step);
        self.next += 1;
    }

    /// Takes the first step if it is due, with its moment.
    pub(crate) fn due(&mut self, now: Moment) -> Option<(Moment, S)> {
        let first = self.steps.first_entry()?;
        let at = first.key().0;
        (at <= now).then(|| (at, first.remove()))
    }

    /// When the first step is due.
    pub(crate) fn next_at(&self) -> Option<Moment> {
        self.steps.first_key_value().map(|((at, _), _)| *at)
    }
}
