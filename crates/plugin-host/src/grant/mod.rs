//! What the administrator allows a plugin. Pure: no I/O, no clock, the same question has the same answer.
//!
//! Everything is closed until a line opens it. A call needs an `[[allow]]` rule whose `call` names the method and
//! whose `on`, where there is one, holds for the object that the call acts on. A record is visible only as far as a
//! `[[read]]` rule names its class and fields. Methods on the danger list need a rule that names them letter by
//! letter. A refusal carries the lines that would allow it.

mod advice;
mod danger;
mod pattern;
mod target;

use std::collections::{BTreeMap, BTreeSet};

use cel::objects::{Key, Map, Value as Cel};
use smol_str::SmolStr;
use xapi::model::{Class, Method, Record, World, schema};
use xapi::{NULL_REF, Value};

pub use danger::{DANGEROUS, is_dangerous};
pub use pattern::Pattern;
pub use target::{Target, parameters, target_of, target_parameter};

use crate::condition::{Condition, Scope};
use crate::manifest::Manifest;
use crate::nearest::hint;

/// How deeply loops in an `on` may be nested.
const NESTING: usize = 3;

/// A grant as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawGrant {
    /// The grant file, for the words of refusals.
    #[serde(skip)]
    pub file: String,
    /// `[[allow]]` rules, in order.
    #[serde(default)]
    pub allow: Vec<RawAllow>,
    /// `[[read]]` rules, in order.
    #[serde(default)]
    pub read: Vec<RawRead>,
}

/// One `[[allow]]` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAllow {
    /// Method names or patterns: `VM.start`, `VM.get_*`. `VM.start` covers its asynchronous form.
    pub call: Vec<String>,
    /// CEL over `self` (the record of the object that the call acts on) and `args` (by parameter name); any object
    /// when left out.
    #[serde(default)]
    pub on: Option<String>,
}

/// One `[[read]]` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRead {
    /// Class names.
    pub class: Vec<String>,
    /// Field names, or `["*"]` for all.
    pub fields: Vec<String>,
}

/// One thing wrong with a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} {}, `{key}`: {what}", .index + 1)]
pub struct GrantProblem {
    /// `[[allow]]` or `[[read]]`.
    pub place: &'static str,
    /// Which one of its kind, from 0.
    pub index: usize,
    /// The key in it: `call`, `on`, `class` or `fields`.
    pub key: &'static str,
    /// Which element of a list, from 0.
    pub element: Option<usize>,
    /// What is wrong and what to write instead.
    pub what: String,
}

/// A checked grant.
#[derive(Debug)]
pub struct Grant {
    file: String,
    allow: Vec<Allow>,
    read: BTreeMap<&'static str, Visible>,
}

#[derive(Debug)]
struct Allow {
    patterns: Vec<Pattern>,
    on: Option<Condition>,
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

/// Whether a call may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The rule with this number (from 0) allows it.
    Allowed {
        /// Index into the `[[allow]]` rules.
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
}

/// The reasons of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No rule names the method.
    NoRule,
    /// Only a pattern matches, and the method is on the danger list.
    NeedsItsName,
    /// Rules name the method, but not for this object.
    OtherObjects,
    /// The object that it acts on is not in the world, so no rule can be checked.
    UnknownObject,
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
        }
    }
}

impl Grant {
    /// A grant that allows nothing.
    #[must_use]
    pub fn nothing(file: impl Into<String>) -> Self {
        Grant { file: file.into(), allow: Vec::new(), read: BTreeMap::new() }
    }

    /// Checks a grant as written.
    ///
    /// # Errors
    ///
    /// All problems at once: unknown methods, classes and fields, patterns that match nothing, wrong expressions.
    pub fn compile(raw: &RawGrant) -> Result<Self, Vec<GrantProblem>> {
        let mut problems = Vec::new();
        let allow = raw
            .allow
            .iter()
            .enumerate()
            .map(|(index, rule)| compile_allow(index, rule, &mut problems))
            .collect();
        let mut read = BTreeMap::new();
        for (index, rule) in raw.read.iter().enumerate() {
            compile_read(index, rule, &mut read, &mut problems);
        }
        if problems.is_empty() { Ok(Grant { file: raw.file.clone(), allow, read }) } else { Err(problems) }
    }

    /// The grant file, as given to [`compile`](Self::compile).
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
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

    /// Classes whose objects must be known for this grant to be decided on: those that may be seen, and those of the
    /// objects that allowed methods act on.
    #[must_use]
    pub fn classes(&self) -> BTreeSet<&'static str> {
        let patterns = self.allow.iter().flat_map(|allow| &allow.patterns);
        let targets =
            patterns.flat_map(Pattern::methods).filter_map(|(_, _, method)| target_parameter(method));
        self.readable().chain(targets.map(|(_, class)| class)).collect()
    }

    /// Whether a call may be made. `arguments` are raw XAPI values without the session.
    #[must_use]
    pub fn decide(&self, class: &Class, method: &Method, arguments: &[Value], world: &World) -> Decision {
        self.decide_on(class, method, arguments, target_of(method, arguments, world))
    }

    /// As [`decide`](Self::decide), with the object that the call acts on already looked up.
    #[must_use]
    pub fn decide_on(
        &self,
        class: &Class,
        method: &Method,
        arguments: &[Value],
        target: Target<'_>,
    ) -> Decision {
        let name = format!("{}.{}", class.name, method.name);
        let denied = |reason, advice| Decision::Denied(Denial { reason, advice });
        if let Target::Unknown { class } = target {
            return denied(Reason::UnknownObject, advice::unknown_object(&name, class));
        }
        let dangerous = is_dangerous(&name);
        let mut by_pattern_only = false;
        let mut misses = Vec::new();
        for (index, rule) in self.allow.iter().enumerate() {
            if !rule.patterns.iter().any(|pattern| pattern.matches(&name)) {
                continue;
            }
            if dangerous && !rule.patterns.iter().any(|pattern| pattern.is(&name)) {
                by_pattern_only = true;
                continue;
            }
            match rule.check(method, arguments, &target) {
                Ok(()) => return Decision::Allowed { rule: index },
                Err(why) => misses.push((index, why)),
            }
        }
        if !misses.is_empty() {
            let advice = advice::other_objects(&self.file, &name, &target, &misses);
            return denied(Reason::OtherObjects, advice);
        }
        if by_pattern_only {
            return denied(Reason::NeedsItsName, advice::needs_its_name(&self.file, &name));
        }
        denied(Reason::NoRule, advice::no_rule(&self.file, &name))
    }

    /// What a manifest asks for and this grant does not give, as lines ready to paste; none when all is given.
    ///
    /// Requested methods need an `[[allow]]` that could match them; classes whose changes are subscribed, and `task`
    /// where ends of tasks are, need a `[[read]]`, since otherwise the plugin would be told that something happened and
    /// not what.
    #[must_use]
    pub fn missing(&self, manifest: &Manifest) -> Option<String> {
        advice::missing(self, manifest)
    }

    /// Lines that would show a field, or a whole class, ready to paste.
    #[must_use]
    pub fn read_advice(&self, class: &str, field: Option<&str>) -> String {
        advice::read(&self.file, class, field)
    }

    fn could_allow(&self, request: &Pattern) -> bool {
        self.allow.iter().any(|rule| {
            request.methods().all(|(name, _, _)| {
                rule.patterns.iter().any(|pattern| {
                    if is_dangerous(&name) { pattern.is(&name) } else { pattern.matches(&name) }
                })
            })
        })
    }
}

impl Allow {
    /// Whether the rule covers the call's object; otherwise why not.
    fn check(&self, method: &Method, arguments: &[Value], target: &Target<'_>) -> Result<(), String> {
        let Some(on) = &self.on else { return Ok(()) };
        let record: &Record = match target {
            Target::Known(record) => record,
            Target::Null => {
                return Err(format!("`{}` needs an object, and the call names none", on.source()));
            }
            Target::None | Target::Unknown { .. } => {
                return Err(format!("`{}` needs an object, and the method has none", on.source()));
            }
        };
        let named = parameters(method).zip(arguments).map(|(parameter, value)| {
            let value = crate::condition::to_cel(Some(&parameter.kind), value, &str::to_owned);
            (Key::from(parameter.name), value)
        });
        let args = Cel::Map(Map { map: std::sync::Arc::new(named.collect()) });
        match on.holds(record, &|_| true, &str::to_owned, vec![("args", args)]) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("`{}` does not hold", on.source())),
            Err(error) => Err(format!("`{}` cannot be evaluated: {error}", on.source())),
        }
    }
}

fn compile_allow(index: usize, rule: &RawAllow, problems: &mut Vec<GrantProblem>) -> Allow {
    let mut problem = |key, element, what| {
        problems.push(GrantProblem { place: "[[allow]]", index, key, element, what });
    };
    if rule.call.is_empty() {
        problem("call", None, "it is empty: name methods such as \"VM.start\"".to_owned());
    }
    let mut patterns = Vec::new();
    for (element, text) in rule.call.iter().enumerate() {
        match Pattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(what) => problem("call", Some(element), what),
        }
    }
    let on = rule.on.as_ref().and_then(|source| {
        let mut classes: Vec<&'static Class> = patterns
            .iter()
            .flat_map(Pattern::methods)
            .filter_map(|(_, _, method)| target_parameter(method))
            .filter_map(|(_, class)| schema::class(class))
            .collect();
        classes.sort_by_key(|class| class.name);
        classes.dedup_by_key(|class| class.name);
        if classes.is_empty() && !patterns.is_empty() {
            problem("on", None, "none of the methods acts on an object; leave `on` out".to_owned());
            return None;
        }
        let scope = Scope { variables: &["args"], classes: &classes, nesting: NESTING };
        Condition::compile(source, &scope).map_err(|error| problem("on", None, error.to_string())).ok()
    });
    Allow { patterns, on }
}

fn compile_read(
    index: usize,
    rule: &RawRead,
    read: &mut BTreeMap<&'static str, Visible>,
    problems: &mut Vec<GrantProblem>,
) {
    let mut problem = |key, element, what| {
        problems.push(GrantProblem { place: "[[read]]", index, key, element, what });
    };
    if rule.class.is_empty() {
        problem("class", None, "it is empty: name classes such as \"VM\"".to_owned());
    }
    if rule.fields.is_empty() {
        problem("fields", None, "it is empty: name fields, or write [\"*\"] for all".to_owned());
    }
    let mut classes: Vec<&'static Class> = Vec::new();
    for (element, name) in rule.class.iter().enumerate() {
        match schema::class(name) {
            Some(class) if class.name == name => classes.push(class),
            _ => {
                let hint = hint(name, schema::classes().iter().map(|class| class.name));
                problem("class", Some(element), format!("XAPI has no class `{name}`{hint}"));
            }
        }
    }
    for (element, field) in rule.fields.iter().enumerate() {
        if field != "*" && !classes.is_empty() && classes.iter().all(|class| class.field(field).is_none()) {
            let names: Vec<&str> = classes.iter().map(|class| class.name).collect();
            let fields = classes.iter().flat_map(|class| class.fields.iter().map(|field| field.name));
            let hint = hint(field, fields);
            problem("fields", Some(element), format!("{} has no field `{field}`{hint}", names.join(", ")));
        }
    }
    for class in classes {
        let seen = read.entry(class.name).or_insert_with(|| Visible::Only(BTreeSet::new()));
        if rule.fields.iter().any(|field| field == "*") {
            *seen = Visible::All;
        } else if let Visible::Only(fields) = seen {
            fields.extend(rule.fields.iter().map(SmolStr::from));
        }
    }
}

/// Whether a raw reference points nowhere.
pub(crate) fn is_null(reference: &str) -> bool {
    reference.is_empty() || reference == NULL_REF
}

#[cfg(test)]
mod tests;
