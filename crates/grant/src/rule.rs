//! One checked `[[allow]]`: which methods, which objects, which arguments, how much.

use std::collections::BTreeSet;

use xapi::model::{Class, Method, Record, World, schema};

use crate::condition::{Condition, Wording};
use crate::decide::{Call, Question};
use crate::{Budget, Pattern, Target, is_dangerous, is_null, parameters, target_parameter};

/// One checked `[[allow]]`.
#[derive(Debug)]
pub struct Rule {
    pub(crate) index: usize,
    pub(crate) place: String,
    pub(crate) text: String,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) on: Option<Condition>,
    /// By the name of the argument.
    pub(crate) args: Vec<(String, Condition)>,
    pub(crate) budget: Budget,
}

impl Rule {
    /// Its file and line; its file and number where the line is not known.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it covers, as it is written, without its budget: the same for the same rule wherever it stands, so that what it
    /// has allowed can be found again.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How much it allows.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// How refusals call it.
    pub(crate) fn title(&self) -> String {
        format!("[[allow]] {} of {}", self.index + 1, self.place)
    }

    /// Whether its `call` names a method, in a way that counts for it.
    pub(crate) fn names(&self, name: &str) -> bool {
        if is_dangerous(name) {
            self.patterns.iter().any(|pattern| pattern.is(name))
        } else {
            self.matches(name)
        }
    }

    /// Whether a pattern of its `call` matches, be it good enough or not.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// The methods that it may be about.
    pub(crate) fn methods(&self) -> impl Iterator<Item = (&'static Class, &'static Method)> {
        self.patterns.iter().flat_map(Pattern::methods).map(|(_, class, method)| (class, method))
    }

    /// Classes whose objects must be known for it to be decided on.
    pub(crate) fn classes(&self, into: &mut BTreeSet<&'static str>) {
        for (_, method) in self.methods() {
            if let Some((_, class)) = target_parameter(method) {
                into.insert(class);
                if let (Some(on), Some(class)) = (&self.on, schema::class(class)) {
                    on.paths("self").classes_of(class, into);
                }
            }
            for parameter in parameters(method) {
                if let Some(on) = &self.on
                    && on.paths("args").wants(parameter.name)
                {
                    on.paths("args").below(parameter.name).classes(&parameter.kind, into);
                }
                for (name, condition) in &self.args {
                    if name == parameter.name {
                        condition.paths("value").classes(&parameter.kind, into);
                    }
                }
            }
        }
    }

    /// Whether its conditions hold for a call; otherwise why not.
    pub(crate) fn covers(&self, question: &Question<'_>) -> Result<(), String> {
        let worded = |class: &str, reference: &str| word(question.world, class, reference);
        let wording = Wording { reference: &worded, world: Some(question.world) };
        if let Some(on) = &self.on {
            let record: Option<&Record> = match question.target {
                Target::Known(record) => Some(record),
                _ if !on.reads_object() => None,
                Target::Null => {
                    return Err(format!("`{}` needs an object, and the call names none", on.source()));
                }
                Target::None | Target::Unknown { .. } => {
                    return Err(format!("`{}` needs an object, and the method has none", on.source()));
                }
            };
            said(on, on.holds_for_call(&question.call, record, None, &wording), "")?;
        }
        for (name, condition) in &self.args {
            let Some((parameter, value)) =
                question.call.arguments().find(|(parameter, _)| parameter.name == name)
            else {
                return Err(format!("the call does not give the argument `{name}`"));
            };
            let record = if let Target::Known(record) = question.target { Some(record) } else { None };
            let value = Some((&parameter.kind, value));
            let holds = condition.holds_for_call(&question.call, record, value, &wording);
            said(condition, holds, &format!("args.{name}: "))?;
        }
        Ok(())
    }
}

fn said(condition: &Condition, holds: Result<bool, String>, about: &str) -> Result<(), String> {
    match holds {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{about}`{}` does not hold", condition.source())),
        Err(error) => Err(format!("{about}`{}` cannot be evaluated: {error}", condition.source())),
    }
}

/// A reference in words that an administrator can write down: the uuid of what it points at.
fn word(world: &World, class: &str, reference: &str) -> String {
    if is_null(reference) {
        return String::new();
    }
    let known = world.get(class, reference).and_then(|record| record.uuid());
    known.unwrap_or(reference).to_owned()
}

/// The object that a call acts on, as budgets and records name it: by its uuid, else by its reference.
pub(crate) fn object_of<'q>(call: &Call<'q>, target: &Target<'q>) -> Option<&'q str> {
    match target {
        Target::Known(record) => Some(record.uuid().unwrap_or(&record.reference)),
        Target::Unknown { .. } => call.reference(),
        Target::None | Target::Null => None,
    }
}
