//! The words of a refusal: what is missing, and the lines that would allow it.

use std::fmt::Write as _;

use xapi::model::schema;

use super::{Grant, Pattern, Target};
use crate::manifest::Manifest;
use crate::subscription::Interest;

pub(super) fn no_rule(file: &str, method: &str) -> String {
    format!("to allow it, add to {file}:\n{}", allow(method, None))
}

pub(super) fn needs_its_name(file: &str, method: &str) -> String {
    format!(
        "{method} is dangerous and no pattern allows it; to allow it all the same, add to {file}:\n{}",
        allow(method, None)
    )
}

pub(super) fn unknown_object(method: &str, class: &str) -> String {
    format!(
        "{method} was called on an object of class {class} that the daemon does not know, so no rule can be checked"
    )
}

pub(super) fn other_objects(
    file: &str,
    method: &str,
    target: &Target<'_>,
    misses: &[(usize, String)],
) -> String {
    let mut text = String::new();
    for (index, why) in misses {
        let _ = write!(text, "[[allow]] {} of {file} does not cover this object: {why}; ", index + 1);
    }
    // The narrowest line that helps: this object alone.
    let on = match target {
        Target::Known(record) => record.uuid().map(|uuid| format!("self.uuid == \"{uuid}\"")),
        _ => None,
    };
    let _ = write!(text, "to allow it, add to {file}:\n{}", allow(method, on.as_deref()));
    text
}

pub(super) fn read(file: &str, class: &str, field: Option<&str>) -> String {
    format!(
        "to show it, add to {file}:\n[[read]]\nclass = [\"{class}\"]\nfields = [\"{}\"]\n",
        field.unwrap_or("*")
    )
}

pub(super) fn missing(grant: &Grant, manifest: &Manifest) -> Option<String> {
    let mut lines = String::new();
    for request in &manifest.requests {
        let given = Pattern::parse(&request.call).is_ok_and(|pattern| grant.could_allow(&pattern));
        if !given {
            let reason = request.reason.replace(['\n', '\r'], " ");
            let _ = write!(lines, "# {reason}\n{}", allow(&request.call, None));
        }
    }
    let mut seen = Vec::new();
    for subscription in &manifest.subscriptions {
        let class = match &subscription.interest {
            Interest::Objects(interest) => interest.class.as_str(),
            Interest::Tasks => "task",
            Interest::Alerts(_) => "message",
            Interest::Schedule(_) | Interest::Connection => continue,
        };
        if let Some(class) = schema::class(class)
            && grant.visible(class.name).is_none()
            && !seen.contains(&class.name)
        {
            seen.push(class.name);
            let _ = write!(
                lines,
                "# to see what it is told of\n[[read]]\nclass = [\"{}\"]\nfields = [\"*\"]\n",
                class.name
            );
        }
    }
    (!lines.is_empty()).then_some(lines)
}

fn allow(method: &str, on: Option<&str>) -> String {
    match on {
        Some(on) => format!("[[allow]]\ncall = [\"{method}\"]\non = '{on}'\n"),
        None => format!("[[allow]]\ncall = [\"{method}\"]\n"),
    }
}
