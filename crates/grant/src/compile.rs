//! From a grant as written to a checked one. All problems are told at once.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;
use xapi::model::{Class, Method, Type, schema};

use crate::condition::{Condition, Scope};
use crate::nearest::hint;
use crate::{
    Budget, Grant, GrantProblem, Pattern, RawAllow, RawGrant, RawRead, Rule, Visible, parameters,
    target_parameter,
};

/// How deeply loops in a condition may be nested.
const NESTING: usize = 3;

pub(crate) fn compile(raw: &RawGrant) -> Result<Grant, Vec<GrantProblem>> {
    let mut problems = Vec::new();
    let rules: Vec<Rule> = raw
        .allow
        .iter()
        .enumerate()
        .map(|(index, rule)| allow(&raw.file, index, rule, &mut problems))
        .collect();
    let mut read = BTreeMap::new();
    for (index, rule) in raw.read.iter().enumerate() {
        self::read(index, rule, &mut read, &mut problems);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut reachable: BTreeSet<&'static str> = read.keys().copied().collect();
    for (class, method) in rules.iter().flat_map(Rule::methods) {
        // Whoever may make an object may know which one it is.
        reachable.insert(class.name);
        for parameter in parameters(method) {
            referred(&parameter.kind, &mut reachable);
        }
    }
    Ok(Grant { file: raw.file.clone(), rules, read, reachable })
}

/// Classes of the references that a value of this type may hold.
fn referred(kind: &Type, into: &mut BTreeSet<&'static str>) {
    match kind {
        Type::Ref(class) => _ = into.insert(class),
        Type::Set(inner) | Type::Option(inner) => referred(inner, into),
        Type::Map(keys, values) => {
            referred(keys, into);
            referred(values, into);
        }
        Type::Record(class) => {
            for field in schema::class(class).map_or(&[][..], |class| class.fields) {
                if let Type::Ref(class) | Type::Set(Type::Ref(class)) = &field.kind {
                    into.insert(class);
                }
            }
        }
        _ => {}
    }
}

fn allow(file: &str, index: usize, rule: &RawAllow, problems: &mut Vec<GrantProblem>) -> Rule {
    let mut problem = |key: &str, element, what| {
        problems.push(GrantProblem { place: "[[allow]]", index, key: key.to_owned(), element, what });
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
    let calls: Vec<&'static Method> =
        patterns.iter().flat_map(Pattern::methods).map(|(_, _, method)| method).collect();
    let classes = classes(&calls);
    // Where no method could be read, conditions are judged as far as they can be without.
    let judged = !calls.is_empty();
    let scope_calls = if judged { calls.clone() } else { every_method() };
    let scope = Scope { classes: &classes, calls: &scope_calls, argument: None, nesting: NESTING };
    let on = rule.on.as_ref().and_then(|source| match Condition::compile(source, &scope) {
        Ok(on) if on.reads_object() && classes.is_empty() && judged => {
            problem("on", None, "none of the methods acts on an object; leave `self` out".to_owned());
            None
        }
        Ok(on) => Some(on),
        Err(error) => {
            problem("on", None, error.to_string());
            None
        }
    });
    let mut args = Vec::new();
    for (name, source) in &rule.args {
        let key = format!("args.{name}");
        let known =
            || scope_calls.iter().flat_map(|method| parameters(method)).map(|parameter| parameter.name);
        if !known().any(|known| known == name) {
            let hint = hint(name, known());
            problem(&key, None, format!("none of the methods has an argument `{name}`{hint}"));
            continue;
        }
        match Condition::compile(source, &Scope { argument: Some(name), ..scope }) {
            Ok(condition) => args.push((name.clone(), condition)),
            Err(error) => problem(&key, None, error.to_string()),
        }
    }
    let RawAllow { per_event, per_minute, objects_per_hour, .. } = *rule;
    for (key, most) in
        [("per_event", per_event), ("per_minute", per_minute), ("objects_per_hour", objects_per_hour)]
    {
        if most == Some(0) {
            problem(key, None, "with 0 the rule allows nothing: remove the rule".to_owned());
        }
    }
    if objects_per_hour.is_some() && judged && classes.is_empty() {
        let what = "none of the methods acts on an object; use `per_minute`";
        problem("objects_per_hour", None, what.to_owned());
    }
    let place = if rule.line == 0 { file.to_owned() } else { format!("{file}:{}", rule.line) };
    let budget = Budget { per_event, per_minute, objects_per_hour };
    Rule { index, place, text: text(rule), patterns, on, args, budget }
}

/// A rule in one line.
fn text(rule: &RawAllow) -> String {
    let mut text = format!("call = {:?}", rule.call);
    if let Some(on) = &rule.on {
        text.push_str(&format!(", on = {on:?}"));
    }
    if !rule.args.is_empty() {
        let args: Vec<String> =
            rule.args.iter().map(|(name, source)| format!("{name} = {source:?}")).collect();
        text.push_str(&format!(", args = {{ {} }}", args.join(", ")));
    }
    text
}

fn every_method() -> Vec<&'static Method> {
    schema::classes().iter().flat_map(|class| class.methods).collect()
}

/// The classes of the objects that methods act on.
fn classes(calls: &[&'static Method]) -> Vec<&'static Class> {
    let mut classes: Vec<&'static Class> = calls
        .iter()
        .filter_map(|method| target_parameter(method))
        .filter_map(|(_, class)| schema::class(class))
        .collect();
    classes.sort_by_key(|class| class.name);
    classes.dedup_by_key(|class| class.name);
    classes
}

fn read(
    index: usize,
    rule: &RawRead,
    read: &mut BTreeMap<&'static str, Visible>,
    problems: &mut Vec<GrantProblem>,
) {
    let mut problem = |key: &str, element, what| {
        problems.push(GrantProblem { place: "[[read]]", index, key: key.to_owned(), element, what });
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
