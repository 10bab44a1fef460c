//! Trouble that lasts: calls that take long, calls that fail. What befalls the n-th call that a rule means follows
//! from the seed, the rule and n alone, however the calls of others come in between.

use std::time::Duration;

use xapi::Value;
use xapi::codec::Failure;

use super::Methods;
use crate::random::Random;

/// How long calls take beyond what they would: somewhere between two bounds, half of it before the call is taken and
/// half before its answer goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// Which calls.
    pub methods: Methods,
    /// At least.
    pub min: Duration,
    /// At most.
    pub max: Duration,
}

/// Calls that fail, after all checks of a pool have let them pass; a method started as a task fails in its task.
#[derive(Debug, Clone, PartialEq)]
pub struct FailingCalls {
    /// Which calls.
    pub methods: Methods,
    /// With which error. A parameter `$1` stands for the call's first argument after the session, and so on.
    pub failure: Failure,
    /// Which of them.
    pub often: Often,
}

/// Which of the calls that come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Often {
    /// Every n-th one; 0 and 1 are all of them.
    Nth(u64),
    /// Each with this probability, from 0 to 1.
    Chance(f64),
}

/// A rule that was made, to end it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId(pub(crate) u64);

/// Rules of one kind; of several that mean a call, the newest counts.
#[derive(Debug)]
pub(super) struct Rules<R> {
    rules: Vec<Rule<R>>,
}

#[derive(Debug)]
struct Rule<R> {
    id: RuleId,
    what: R,
    met: u64,
}

impl<R> Default for Rules<R> {
    fn default() -> Self {
        Rules { rules: Vec::new() }
    }
}

impl<R> Rules<R> {
    pub(super) fn add(&mut self, id: RuleId, what: R) {
        self.rules.push(Rule { id, what, met: 0 });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn remove(&mut self, id: RuleId) {
        self.rules.retain(|rule| rule.id != id);
    }

    /// The newest rule that fits, with a stream of its own for this call, and the call's number from 1.
    fn meet(&mut self, seed: u64, fits: impl Fn(&R) -> bool) -> Option<(&R, Random, u64)> {
        let rule = self.rules.iter_mut().rev().find(|rule| fits(&rule.what))?;
        rule.met += 1;
        let random = Random::branch(seed, "rule", rule.id.0 << 32 | rule.met);
        Some((&rule.what, random, rule.met))
    }
}

impl Rules<Latency> {
    /// How long a call of this method takes beyond what it would.
    pub(super) fn latency(&mut self, seed: u64, method: &str) -> Duration {
        self.meet(seed, |rule| rule.methods.fits(method)).map_or(
            Duration::ZERO,
            |(latency, mut random, _)| {
                latency.min + latency.max.saturating_sub(latency.min).mul_f64(random.fraction())
            },
        )
    }
}

impl Rules<FailingCalls> {
    /// What a call of this method fails with, if it does.
    pub(super) fn failure(&mut self, seed: u64, method: &str, arguments: &[Value]) -> Option<Failure> {
        let (rule, mut random, met) = self.meet(seed, |rule| rule.methods.fits(method))?;
        let hit = match rule.often {
            Often::Nth(n) => met.is_multiple_of(n.max(1)),
            Often::Chance(chance) => random.fraction() < chance,
        };
        let filled = |parameter: &smol_str::SmolStr| {
            let argument = parameter.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
            let argument = argument.and_then(|number| arguments.get(number.checked_sub(1)?));
            argument.and_then(Value::as_str).map_or_else(|| parameter.clone(), Into::into)
        };
        hit.then(|| Failure::new(&rule.failure.code, rule.failure.parameters.iter().map(filled)))
    }
}
