//! What the administrator allows a plugin. Pure: no I/O, no clock, the same question has the same answer.
//!
//! Everything is closed until a line opens it. A record is visible only as far as a `[[read]]` rule names its class and
//! fields. A call needs an `[[allow]]` rule, and the rules are asked in their order. The first one decides of which all
//! of this is so:
//!
//! 1. its `call` names the method; one on the danger list letter by letter;
//! 2. its `on`, where there is one, holds for the object that the call acts on, and each of its `args` for the argument
//!    that it is about, references followed;
//! 3. its budget (`per_event`, `per_minute`, `objects_per_hour`) has room.
//!
//! Then the result has its say: references that the call gives back must be of classes that the plugin may see or call
//! something of. [`Grant::decide`] is all of that, one function of a [`Question`] that holds everything it depends on, the time
//! and what was allowed before included. A refusal carries the lines that would allow the call, or when it may be tried
//! again. What was allowed is counted by whoever acts on the answer, with [`Spent::spend`] and [`Run::count`].
//!
//! This room knows XAPI's values and model. It knows neither plugins nor pools, and nothing that waits.

mod advice;
mod budget;
mod compile;
pub mod condition;
mod danger;
mod decide;
pub mod nearest;
mod pattern;
mod raw;
mod references;
mod rule;
mod target;
pub mod time;

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;
use xapi::NULL_REF;

pub use advice::allow_lines;
pub use budget::{Bound, Budget, Exhausted, HOUR, MINUTE, Run, Spent};
pub use danger::{DANGEROUS, is_dangerous};
pub use decide::{Call, Decision, Denial, Question, Reason};
pub use pattern::Pattern;
pub use raw::{GrantProblem, RawAllow, RawGrant, RawRead};
pub use references::{PREFIX, replaced};
pub use rule::Rule;
pub use target::{Target, parameters, target_of, target_parameter};

/// A checked grant.
#[derive(Debug)]
pub struct Grant {
    file: String,
    rules: Vec<Rule>,
    read: BTreeMap<&'static str, Visible>,
    /// Classes of which a reference is of use to the plugin: it may see something of them, call one of their methods, or pass them
    /// to a call.
    reachable: BTreeSet<&'static str>,
}

/// Which fields of a class a plugin may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// All of them.
    All,
    /// Only these.
    Only(BTreeSet<SmolStr>),
}

impl Visible {
    /// Whether a field is among them.
    #[must_use]
    pub fn shows(&self, field: &str) -> bool {
        match self {
            Visible::All => true,
            Visible::Only(fields) => fields.contains(field),
        }
    }
}

impl Grant {
    /// A grant that allows nothing.
    #[must_use]
    pub fn nothing(file: impl Into<String>) -> Self {
        Grant { file: file.into(), rules: Vec::new(), read: BTreeMap::new(), reachable: BTreeSet::new() }
    }

    /// Checks a grant as written.
    ///
    /// # Errors
    ///
    /// All problems at once: unknown methods, classes and fields, patterns that match nothing, wrong expressions.
    pub fn compile(raw: &RawGrant) -> Result<Self, Vec<GrantProblem>> {
        compile::compile(raw)
    }

    /// The grant file, as given to [`compile`](Self::compile).
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The `[[allow]]` rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What of a class may be seen; nothing when `None`.
    #[must_use]
    pub fn visible(&self, class: &str) -> Option<&Visible> {
        self.read.get(class)
    }

    /// Classes of which something may be seen.
    pub fn readable(&self) -> impl Iterator<Item = &'static str> {
        self.read.keys().copied()
    }

    /// Whether a reference to an object of this class may be given to the plugin: it may see something of the class, a rule
    /// names one of its methods, or a call that it may make takes such a reference.
    #[must_use]
    pub fn reaches(&self, class: &str) -> bool {
        self.reachable.contains(class)
    }

    /// Classes whose objects must be known for this grant to be decided on: those that may be seen, those of the objects
    /// that allowed methods act on, and those that conditions follow references to.
    #[must_use]
    pub fn classes(&self) -> BTreeSet<&'static str> {
        let mut classes: BTreeSet<&'static str> = self.readable().collect();
        for rule in &self.rules {
            rule.classes(&mut classes);
        }
        classes
    }

    /// Lines that would show a field, or a whole class, ready to paste.
    #[must_use]
    pub fn read_advice(&self, class: &str, field: Option<&str>) -> String {
        advice::read(&self.file, class, field)
    }

    /// Whether some rule could allow every method that a request stands for, on some object.
    #[must_use]
    pub fn could_allow(&self, request: &Pattern) -> bool {
        self.rules.iter().any(|rule| request.methods().all(|(name, _, _)| rule.names(&name)))
    }
}

/// Whether a raw reference points nowhere.
#[must_use]
pub fn is_null(reference: &str) -> bool {
    reference.is_empty() || reference == NULL_REF
}

#[cfg(test)]
mod tests;
