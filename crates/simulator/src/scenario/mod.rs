//! Scenarios: what happens to a pool and when, written in a file, the same for the same seed.
//!
//! `reading` makes steps of a text and points at what is wrong in it; `action` is what a step can do; `doing` does it
//! to a pool; `log` keeps what was done. The steps stand in the pool's own schedule, so that they come at their own
//! moments between whatever else happens.

mod action;
mod doing;
mod keys;
mod log;
mod reading;

use std::sync::Arc;
use std::time::Duration;

pub use keys::{ScenarioError, ScenarioProblem};
pub use log::Happening;
pub(crate) use log::Log;

use action::{Action, Ending};

use crate::clock::Moment;
use crate::pool::{Pool, Step};

/// No step comes again faster than this, or time would never pass.
const EVERY_MIN: Duration = Duration::from_millis(1);

/// What happens to a pool and when. All times are at natural speed: a pool of speed 10 goes through it ten times as
/// fast.
#[derive(Debug, Clone)]
pub struct Scenario {
    about: String,
    steps: Vec<Arc<Planned>>,
}

/// One step.
#[derive(Debug)]
struct Planned {
    /// Its position, which its choices follow from.
    index: u64,
    /// When it comes first, after the beginning.
    at: Duration,
    /// How it comes again.
    again: Option<Again>,
    /// How long it lasts, where it does; without, to the end.
    lasts: Option<Duration>,
    action: Action,
}

/// How a step comes again.
#[derive(Debug, Clone, Copy)]
struct Again {
    every: Duration,
    /// How often in all; without, for ever.
    times: Option<u64>,
}

/// A step of a scenario that has its moment.
#[derive(Debug)]
pub(crate) struct Due(What);

#[derive(Debug)]
enum What {
    /// Does a step for the n-th time, from 0.
    Do(Arc<Planned>, u64),
    /// What lasted is over.
    End(Ending),
}

impl Scenario {
    /// Reads a scenario, written in TOML; `docs/simulate.md` tells its keys.
    ///
    /// # Errors
    /// With everything that is wrong and its place.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        reading::read(text)
    }

    /// A scenario that is nothing but load: so many changes a second.
    #[must_use]
    pub fn load(per_second: f64) -> Self {
        Scenario { about: String::new(), steps: Vec::new() }.with_load(per_second)
    }

    /// Adds load from the beginning on: so many changes a second of real time.
    #[must_use]
    pub fn with_load(mut self, per_second: f64) -> Self {
        let index = u64::try_from(self.steps.len()).unwrap_or(u64::MAX);
        let action = Action::Churn { rate: per_second };
        self.steps.push(Arc::new(Planned { index, at: Duration::ZERO, again: None, lasts: None, action }));
        self
    }

    /// What it is for, in its own words; empty where it does not say.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// When its last step comes or ends for the last time, after its beginning; `None` where steps come again for ever.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        let ends = self.steps.iter().map(|step| {
            let repeated = match step.again {
                None => Duration::ZERO,
                Some(again) => {
                    let more = u32::try_from(again.times?.saturating_sub(1)).unwrap_or(u32::MAX);
                    again.every.saturating_mul(more)
                }
            };
            Some(step.at + repeated + step.lasts.unwrap_or_default())
        });
        ends.collect::<Option<Vec<_>>>().map(|ends| ends.into_iter().max().unwrap_or_default())
    }
}

impl Pool {
    /// Plans all first steps from now on.
    pub(crate) fn begin_scenario(&mut self, scenario: &Scenario) {
        let begun = self.clock.now();
        self.log.begin(begun);
        for step in &scenario.steps {
            let at = begun + self.clock.lasting(step.at.as_secs_f64());
            self.schedule.add(at, Step::Scenario(Due(What::Do(step.clone(), 0))));
        }
    }

    /// Does what has its moment, and plans what follows from it.
    pub(crate) fn take_due(&mut self, Due(what): Due) {
        let step = match what {
            What::End(ending) => return self.end_trouble(ending),
            What::Do(ref step, nth) => {
                if let Some(again) =
                    step.again.filter(|again| again.times.is_none_or(|times| nth + 1 < times))
                {
                    let at = self.after(again.every).max(self.clock.now() + EVERY_MIN);
                    self.schedule.add(at, Step::Scenario(Due(What::Do(step.clone(), nth + 1))));
                }
                self.do_step(step, nth)
            }
        };
        if let Some((lasts, ending)) = step {
            let at = self.after(lasts);
            self.schedule.add(at, Step::Scenario(Due(What::End(ending))));
        }
    }

    fn after(&self, lasting: Duration) -> Moment {
        self.clock.now() + self.clock.lasting(lasting.as_secs_f64())
    }
}
