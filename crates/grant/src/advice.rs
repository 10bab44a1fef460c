//! The words of a refusal: what is missing, and the lines that would allow it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::{Bound, Exhausted, Grant, Rule, Target};

pub(crate) fn no_rule(file: &str, method: &str) -> String {
    format!("to allow it, add to {file}:\n{}", allow_lines(method, None))
}

pub(crate) fn needs_its_name(file: &str, method: &str) -> String {
    format!(
        "{method} is dangerous and no pattern allows it; to allow it all the same, add to {file}:\n{}",
        allow_lines(method, None)
    )
}

pub(crate) fn unknown_object(method: &str, class: &str) -> String {
    format!(
        "{method} was called on an object of class {class} that the daemon does not know, so no rule can be checked"
    )
}

pub(crate) fn other_objects(
    grant: &Grant,
    method: &str,
    target: &Target<'_>,
    misses: &[(usize, String)],
) -> String {
    let mut text = String::new();
    for (index, why) in misses {
        // Writing to a String cannot fail.
        _ = write!(text, "{} does not cover this call: {why}; ", grant.rules[*index].title());
    }
    // The narrowest line that helps: this object alone.
    let on = match target {
        Target::Known(record) => record.uuid().map(|uuid| format!("self.uuid == \"{uuid}\"")),
        _ => None,
    };
    _ = write!(text, "to allow it, add to {}:\n{}", grant.file, allow_lines(method, on.as_deref()));
    text
}

pub(crate) fn over_budget(rule: &Rule, exhausted: &Exhausted, now: i64) -> String {
    let most = exhausted.bound.most();
    let (calls, objects) =
        (if most == 1 { "call" } else { "calls" }, if most == 1 { "object" } else { "objects" });
    let what = match exhausted.bound {
        Bound::PerEvent(_) => format!("{most} {calls} for one event"),
        Bound::PerMinute(_) => format!("{most} {calls} a minute"),
        Bound::ObjectsPerHour(_) => format!("{most} different {objects} an hour"),
    };
    let again = match exhausted.again {
        Some(again) => {
            let wait = u64::try_from(again.saturating_sub(now)).unwrap_or_default();
            let seconds = Duration::from_micros(wait).as_secs_f64().ceil();
            format!("it may be tried again in {seconds} s")
        }
        None => "there is no more room in this run".to_owned(),
    };
    format!(
        "{} covers the call and allows {what}, and no more: {again}; to allow more, raise `{} = {most}` there",
        rule.title(),
        exhausted.bound.key()
    )
}

pub(crate) fn hidden_result(file: &str, method: &str, class: &str) -> String {
    format!(
        "{method} gives back references to objects of class {class}, of which the plugin may see nothing, call \
         nothing and pass nothing on; to let it have them, add to {file}:\n{}",
        read_lines(class, "uuid")
    )
}

pub(crate) fn read(file: &str, class: &str, field: Option<&str>) -> String {
    format!("to show it, add to {file}:\n{}", read_lines(class, field.unwrap_or("*")))
}

fn read_lines(class: &str, field: &str) -> String {
    format!("[[read]]\nclass = [\"{class}\"]\nfields = [\"{field}\"]\n")
}

/// The lines of a rule, ready to paste.
#[must_use]
pub fn allow_lines(method: &str, on: Option<&str>) -> String {
    match on {
        Some(on) => format!("[[allow]]\ncall = [\"{method}\"]\non = '{on}'\n"),
        None => format!("[[allow]]\ncall = [\"{method}\"]\n"),
    }
}
