//! The decision itself.

use xapi::Value;
use xapi::model::schema::Parameter;
use xapi::model::{Class, Method, Type, World};

use crate::budget::{Exhausted, Run, Spent};
use crate::rule::object_of;
use crate::{Grant, Target, advice, is_dangerous, parameters, target_of, target_parameter};

/// A call that a plugin wants to make. It makes sense: there is such a method, and the arguments fit it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'q> {
    /// The class.
    pub class: &'q Class,
    /// The method.
    pub method: &'q Method,
    /// Raw XAPI values by their places, without the session. Those at the end may be left out.
    pub arguments: &'q [Value],
}

impl<'q> Call<'q> {
    /// `CLASS.METHOD`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.class.name, self.method.name)
    }

    /// The arguments that are given, each with its parameter.
    pub fn arguments(&self) -> impl Iterator<Item = (&'static Parameter, &'q Value)> + use<'q> {
        parameters(self.method).zip(self.arguments)
    }

    /// The raw reference of the object that it acts on.
    pub(crate) fn reference(&self) -> Option<&'q str> {
        let (index, _) = target_parameter(self.method)?;
        self.arguments.get(index)?.as_str()
    }
}

/// Everything that a decision depends on, besides the grant.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// The call.
    pub call: Call<'q>,
    /// The object that it acts on.
    pub target: Target<'q>,
    /// The pool as last seen, where references are followed.
    pub world: &'q World,
    /// What the rules allowed in this run of the plugin.
    pub run: &'q Run,
    /// What the rules allowed lately.
    pub spent: &'q Spent,
    /// Now, microseconds of any clock, which is that of `spent`.
    pub now: i64,
}

impl<'q> Question<'q> {
    /// The question whether a call may be made where nothing was called before.
    #[must_use]
    pub fn of(call: Call<'q>, world: &'q World) -> Self {
        static RUN: Run = Run::new();
        static SPENT: Spent = Spent::new();
        let target = target_of(call.method, call.arguments, world);
        Question { call, target, world, run: &RUN, spent: &SPENT, now: 0 }
    }

    /// The object that the call acts on, by its uuid, else by its reference; none where it acts on none.
    #[must_use]
    pub fn object(&self) -> Option<&'q str> {
        object_of(&self.call, &self.target)
    }
}

/// Whether a call may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The rule with this number (from 0) allows it.
    Allowed {
        /// Index into [`Grant::rules`].
        rule: usize,
    },
    /// No rule does.
    Denied(Denial),
}

/// Why a call may not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Which of the reasons.
    pub reason: Reason,
    /// What to do, for a person: the file, and lines to paste where lines help.
    pub advice: String,
    /// Which budget is used up, with [`Reason::OverBudget`].
    pub exhausted: Option<Exhausted>,
}

/// The reasons of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No rule names the method.
    NoRule,
    /// Only a pattern matches, and the method is on the danger list.
    NeedsItsName,
    /// Rules name the method, but not for this object or these arguments.
    OtherObjects,
    /// The object that it acts on is not in the world, so no rule can be checked.
    UnknownObject,
    /// A rule covers the call, and its budget is used up.
    OverBudget,
    /// A rule covers the call, and what it gives back are references that the plugin could do nothing with.
    HiddenResult,
}

impl Reason {
    /// A short stable word for logs and error parameters.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Reason::NoRule => "no-rule",
            Reason::NeedsItsName => "needs-its-name",
            Reason::OtherObjects => "other-objects",
            Reason::UnknownObject => "unknown-object",
            Reason::OverBudget => "over-budget",
            Reason::HiddenResult => "hidden-result",
        }
    }
}

impl Grant {
    /// Whether a call may be made: a function of the grant and the question, and of nothing else.
    ///
    /// The first rule that names the method, whose conditions hold and whose budget has room allows it. When none does, the
    /// reason is the one that is nearest to a yes: a budget, then conditions, then a pattern for a dangerous method. A
    /// reference to an object that is not known is refused whatever the rules say.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let name = question.call.name();
        if let Target::Unknown { class } = question.target {
            return denied(Reason::UnknownObject, advice::unknown_object(&name, class));
        }
        let mut by_pattern_only = false;
        let mut misses = Vec::new();
        let mut exhausted: Option<Exhausted> = None;
        for (index, rule) in self.rules.iter().enumerate() {
            if !rule.names(&name) {
                by_pattern_only |= rule.matches(&name);
                continue;
            }
            if let Err(why) = rule.covers(question) {
                misses.push((index, why));
                continue;
            }
            let found =
                question.spent.exhausted(index, &rule.budget, question.run, question.object(), question.now);
            match found {
                None => {
                    return match self.hidden_class(&question.call.method.result) {
                        None => Decision::Allowed { rule: index },
                        Some(class) => {
                            denied(Reason::HiddenResult, advice::hidden_result(&self.file, &name, class))
                        }
                    };
                }
                Some(found) if exhausted.is_none_or(|known| found.sooner_than(&known)) => {
                    exhausted = Some(found);
                }
                Some(_) => {}
            }
        }
        if let Some(found) = exhausted {
            let advice = advice::over_budget(&self.rules[found.rule], &found, question.now);
            return Decision::Denied(Denial { reason: Reason::OverBudget, advice, exhausted: Some(found) });
        }
        if !misses.is_empty() {
            return denied(
                Reason::OtherObjects,
                advice::other_objects(self, &name, &question.target, &misses),
            );
        }
        debug_assert!(!by_pattern_only || is_dangerous(&name), "a pattern is enough for other methods");
        if by_pattern_only {
            return denied(Reason::NeedsItsName, advice::needs_its_name(&self.file, &name));
        }
        denied(Reason::NoRule, advice::no_rule(&self.file, &name))
    }

    /// A class of which a result of this type holds references that the plugin could do nothing with. What stands in a
    /// record is left out of it one by one instead.
    fn hidden_class(&self, kind: &Type) -> Option<&'static str> {
        match kind {
            Type::Ref(class) => (!self.reaches(class)).then_some(*class),
            Type::Set(inner) | Type::Option(inner) => self.hidden_class(inner),
            Type::Map(keys, values) => self.hidden_class(keys).or_else(|| self.hidden_class(values)),
            _ => None,
        }
    }
}

fn denied(reason: Reason, advice: String) -> Decision {
    Decision::Denied(Denial { reason, advice, exhausted: None })
}
