//! How much a rule allows: calls in one run, calls in a minute, different objects in an hour.
//!
//! Windows slide: `per_minute = 30` is kept in any sixty seconds, not in those of a clock's face. What is kept of the past
//! is bounded by the budget itself.

use std::collections::{BTreeMap, HashMap, VecDeque};

use smol_str::SmolStr;

/// A minute, in microseconds.
pub const MINUTE: i64 = 60 * 1_000_000;
/// An hour, in microseconds.
pub const HOUR: i64 = 60 * MINUTE;

/// How much a rule allows; nothing is unlimited but what is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Calls in one run of the plugin for one event. Those that are answered from the record of an earlier run count too, so
    /// that a run that is repeated may do what it did and no more.
    pub per_event: Option<u32>,
    /// Calls within any minute.
    pub per_minute: Option<u32>,
    /// Different objects within any hour. An object that was acted on within the hour is not another one.
    pub objects_per_hour: Option<u32>,
}

/// One bound of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `per_event`
    PerEvent(u32),
    /// `per_minute`
    PerMinute(u32),
    /// `objects_per_hour`
    ObjectsPerHour(u32),
}

impl Bound {
    /// The key of the rule.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Bound::PerEvent(_) => "per_event",
            Bound::PerMinute(_) => "per_minute",
            Bound::ObjectsPerHour(_) => "objects_per_hour",
        }
    }

    /// How much.
    #[must_use]
    pub fn most(self) -> u32 {
        let (Bound::PerEvent(most) | Bound::PerMinute(most) | Bound::ObjectsPerHour(most)) = self;
        most
    }
}

/// A budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// The rule whose budget it is, from 0.
    pub rule: usize,
    /// Which bound.
    pub bound: Bound,
    /// When there is room again, microseconds of the question's clock; `None` when not in this run.
    pub again: Option<i64>,
}

impl Exhausted {
    pub(crate) fn sooner_than(&self, other: &Exhausted) -> bool {
        match (self.again, other.again) {
            (Some(mine), Some(others)) => mine < others,
            (mine, others) => mine.is_some() && others.is_none(),
        }
    }
}

/// What the rules of a grant allowed in one run of the plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    calls: BTreeMap<usize, u32>,
}

impl Run {
    /// A run that has just begun.
    #[must_use]
    pub const fn new() -> Self {
        Run { calls: BTreeMap::new() }
    }

    /// Counts a call that a rule allowed.
    pub fn count(&mut self, rule: usize) {
        let calls = self.calls.entry(rule).or_default();
        *calls = calls.saturating_add(1);
    }

    fn calls(&self, rule: usize) -> u32 {
        self.calls.get(&rule).copied().unwrap_or_default()
    }
}

/// What the rules of a grant allowed lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent {
    rules: BTreeMap<usize, Lately>,
}

/// What one rule allowed lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Lately {
    /// When, in order; no more than the budget has room for.
    calls: VecDeque<i64>,
    /// On which objects, and when last.
    objects: HashMap<SmolStr, i64>,
}

impl Spent {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Spent { rules: BTreeMap::new() }
    }

    /// Counts a call that a rule allowed. Only what its budget asks for is kept.
    pub fn spend(&mut self, rule: usize, budget: &Budget, object: Option<&str>, now: i64) {
        if budget.per_minute.is_none() && budget.objects_per_hour.is_none() {
            return;
        }
        let lately = self.rules.entry(rule).or_default();
        if budget.per_minute.is_some() {
            lately.calls.retain(|at| within(*at, MINUTE, now));
            let place = lately.calls.partition_point(|at| *at <= now);
            lately.calls.insert(place, now);
        }
        if let (Some(_), Some(object)) = (budget.objects_per_hour, object) {
            lately.objects.retain(|_, at| within(*at, HOUR, now));
            let last = lately.objects.entry(object.into()).or_insert(now);
            *last = now.max(*last);
        }
    }

    /// Which bound a further call would break; the one that lasts longest, when it would break several.
    #[must_use]
    pub fn exhausted(
        &self,
        rule: usize,
        budget: &Budget,
        run: &Run,
        object: Option<&str>,
        now: i64,
    ) -> Option<Exhausted> {
        if let Some(most) = budget.per_event
            && run.calls(rule) >= most
        {
            return Some(Exhausted { rule, bound: Bound::PerEvent(most), again: None });
        }
        let lately = self.rules.get(&rule)?;
        let by_minute = budget.per_minute.and_then(|most| {
            let calls = lately.calls.iter().copied().filter(|at| within(*at, MINUTE, now)).collect();
            let again = room_at(calls, most, MINUTE)?;
            Some(Exhausted { rule, bound: Bound::PerMinute(most), again: Some(again) })
        });
        let by_hour = budget.objects_per_hour.zip(object).and_then(|(most, object)| {
            let objects = &lately.objects;
            let recent = |at: &i64| within(*at, HOUR, now);
            if objects.get(object).is_some_and(recent) {
                return None;
            }
            let again = room_at(objects.values().copied().filter(recent).collect(), most, HOUR)?;
            Some(Exhausted { rule, bound: Bound::ObjectsPerHour(most), again: Some(again) })
        });
        match (by_minute, by_hour) {
            (Some(minute), Some(hour)) => Some(if minute.sooner_than(&hour) { hour } else { minute }),
            (one, other) => one.or(other),
        }
    }
}

/// Whether something happened within a span before now. What seems to lie ahead happened just now.
fn within(at: i64, span: i64, now: i64) -> bool {
    now.saturating_sub(at) < span
}

/// When so many of the times will have left the window that there is room for one more; none when there is.
fn room_at(mut times: Vec<i64>, most: u32, span: i64) -> Option<i64> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let leaves = times.len().checked_sub(most)?;
    times.sort_unstable();
    // With a budget of nothing there is never room; such a rule is refused when it is compiled.
    times.get(leaves).map_or(Some(i64::MAX), |at| Some(at.saturating_add(span)))
}
