//! From the `[[subscribe]]` tables of a manifest to [`Subscription`]s.

use std::collections::BTreeSet;

use smol_str::SmolStr;
use toml::de::DeTable;
use xapi::model::schema;

use super::toml_reader::Reader;
use crate::event::Operation;
use crate::schedule::{Schedule, ScheduleError};
use crate::subscription::{AlertInterest, Interest, ObjectInterest, Subscription, target};
use grant::nearest::hint;

/// What says what a subscription is about, with the keys that narrow it.
const KINDS: [(&str, &[&str]); 5] = [
    ("class", &["on", "fields", "with", "latest"]),
    ("task", &[]),
    ("alert", &["names", "priority_at_most"]),
    ("cron", &["time_zone"]),
    ("connection", &[]),
];

pub(super) fn subscriptions(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Vec<Subscription> {
    let mut seen = BTreeSet::new();
    let mut subscriptions = Vec::new();
    let tables = reader.tables(table, "subscribe");
    if tables.is_empty() && reader.problems.is_empty() {
        reader.problem(
            0,
            "the manifest subscribes to nothing: the plugin would never run; add `[[subscribe]]`",
        );
    }
    for (at, inner) in tables {
        if let Some(subscription) = subscription(reader, at, inner) {
            if !seen.insert(subscription.name.clone()) {
                reader.problem(at, format!("two subscriptions are named `{}`", subscription.name));
            }
            subscriptions.push(subscription);
        }
    }
    subscriptions
}

fn subscription(reader: &mut Reader<'_>, at: usize, table: &DeTable<'_>) -> Option<Subscription> {
    let narrowing = KINDS.iter().flat_map(|(kind, keys)| std::iter::once(kind).chain(*keys));
    let known: Vec<&str> = std::iter::once("name").chain(narrowing.copied()).collect();
    reader.only(table, "[[subscribe]]", &known);
    let name = reader.required_text(table, "name", "[[subscribe]]", at);
    let kind = kind(reader, at, table)?;
    for (other, keys) in KINDS.iter().filter(|(other, _)| *other != kind) {
        for (at, key) in keys.iter().filter_map(|key| Some((table.get(*key)?.span().start, key))) {
            reader.problem(at, format!("`{key}` only goes with `{other}`"));
        }
    }
    let interest = match kind {
        "class" => {
            let class = reader.text(table, "class")?;
            Interest::Objects(object_interest(reader, at, table, &class)?)
        }
        "task" => Interest::Tasks,
        "alert" => Interest::Alerts(alert_interest(reader, table)),
        "cron" => Interest::Schedule(schedule(reader, table)?),
        _ => Interest::Connection,
    };
    Some(Subscription { name: name?, interest })
}

/// The one key that says what it is about.
fn kind(reader: &mut Reader<'_>, at: usize, table: &DeTable<'_>) -> Option<&'static str> {
    let mut named = Vec::new();
    for (kind, _) in KINDS {
        let said = match kind {
            "task" | "alert" | "connection" => reader.flag(table, kind).unwrap_or(false),
            _ => table.get(kind).is_some(),
        };
        if said {
            named.push(kind);
        }
    }
    if let [kind] = named.as_slice() {
        return Some(kind);
    }
    reader.problem(
        at,
        "a subscription has exactly one of `class = \"...\"`, `task = true`, `alert = true`, \
         `cron = \"...\"` and `connection = true`",
    );
    None
}

fn schedule(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Schedule> {
    let cron = reader.text(table, "cron")?;
    let zone = reader.text(table, "time_zone");
    match Schedule::parse(&cron, zone.as_deref()) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            let key = if matches!(error, ScheduleError::Zone(_)) { "time_zone" } else { "cron" };
            let at = table.get(key).map_or(0, |value| value.span().start);
            reader.problem(at, error.to_string());
            None
        }
    }
}

fn alert_interest(reader: &mut Reader<'_>, table: &DeTable<'_>) -> AlertInterest {
    let names = reader.texts(table, "names").unwrap_or_default();
    if let Some(written) = table.get("names")
        && written.get_ref().as_array().is_some_and(|names| names.is_empty())
    {
        reader.problem(written.span().start, "`names` is empty: name an alert, or leave the key out");
    }
    for (at, name) in &names {
        if let Some(meant) = slip(name) {
            reader.problem(*at, format!("XAPI has no alert `{name}`; did you mean `{meant}`?"));
        }
    }
    let priority_at_most = reader.whole(table, "priority_at_most", 1..=5);
    AlertInterest {
        names: names.into_iter().map(|(_, name)| name.into()).collect(),
        priority_at_most: priority_at_most.and_then(|most| u8::try_from(most).ok()),
    }
}

/// The alert of XAPI that a name is one letter away from. Others make names of their own, so that names which are
/// further away are taken as they are.
fn slip(name: &str) -> Option<&'static str> {
    let known = || schema::alerts().iter().map(|(known, _)| *known);
    if known().any(|known| known == name) {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    known().find(|known| strsim::damerau_levenshtein(&upper, known) <= 1)
}

fn object_interest(
    reader: &mut Reader<'_>,
    at: usize,
    table: &DeTable<'_>,
    class: &str,
) -> Option<ObjectInterest> {
    let on = operations(reader, table);
    let fields = reader.texts(table, "fields").unwrap_or_default();
    let Some(known) = schema::class(class) else {
        let hint = hint(class, schema::classes().iter().map(|class| class.name));
        reader.problem(at, format!("XAPI has no class `{class}`{hint}"));
        return None;
    };
    if known.name == "message" {
        reader.problem(at, "alerts are no objects to be followed: write `alert = true` instead of `class`");
    }
    if !known.events {
        reader.problem(at, format!("XAPI sends no events for the class `{}`", known.name));
    }
    for (at, field) in &fields {
        if known.field(field).is_none() {
            let hint = hint(field, known.fields.iter().map(|field| field.name));
            reader.problem(*at, format!("class {} has no field `{field}`{hint}", known.name));
        }
    }
    if !fields.is_empty() && !on.contains(&Operation::Modified) {
        reader.problem(at, "`fields` only narrows `modified`, which is not in `on`");
    }
    let with = reader.texts(table, "with").unwrap_or_default();
    for (at, field) in &with {
        let problem = match known.field(field).map(target) {
            Some(Some(_)) => continue,
            Some(None) => format!(
                "`{field}` of class {} leads to no other object: `with` names fields that do",
                known.name
            ),
            None => {
                let leading = known.fields.iter().filter(|field| target(field).is_some());
                let hint = hint(field, leading.map(|field| field.name));
                format!("class {} has no field `{field}`{hint}", known.name)
            }
        };
        reader.problem(*at, problem);
    }
    if !with.is_empty() && !on.contains(&Operation::Modified) {
        reader.problem(at, "`with` is heard as `modified`, which is not in `on`");
    }
    Some(ObjectInterest {
        class: SmolStr::new_static(known.name),
        with: with.into_iter().map(|(_, field)| field.into()).collect(),
        latest: reader.flag(table, "latest").unwrap_or(false),
        on,
        fields: fields.into_iter().map(|(_, field)| field.into()).collect(),
    })
}

fn operations(reader: &mut Reader<'_>, table: &DeTable<'_>) -> BTreeSet<Operation> {
    const ALL: [Operation; 3] = [Operation::Added, Operation::Modified, Operation::Deleted];
    let Some(words) = reader.texts(table, "on") else { return ALL.into() };
    let mut operations = BTreeSet::new();
    for (at, word) in &words {
        match ALL.iter().find(|operation| operation.word() == word) {
            Some(operation) => {
                operations.insert(*operation);
            }
            None => {
                let hint = hint(word, ALL.map(Operation::word));
                reader.problem(*at, format!("`on` knows added, modified and deleted, not `{word}`{hint}"));
            }
        }
    }
    if words.is_empty() {
        let at = table.get("on").map_or(0, |value| value.span().start);
        reader.problem(at, "`on` is empty: name at least one of added, modified, deleted");
    }
    operations
}
