//! Events and calls in a line.

use journal::StoredEvent;
use xapi::Value;
use xapi::events::{Change, Ending, Event, Operation};
use xapi::model::Record;

use super::records::time;
use super::types::EventLine;
use crate::event::{Connection, Told};

/// Values that are longer than this, in characters, are not shown in a line.
const VALUE_MAX: usize = 24;
/// So many changed fields are named.
const FIELDS_MAX: usize = 4;

/// A stored event in a line.
pub(super) fn event(stored: &StoredEvent) -> EventLine {
    let StoredEvent { sequence, pool, kind, class, reference, at_micros, payload } = stored;
    let (name, what) = match Told::from_json(kind, class, reference, payload) {
        Ok((told, cause)) => {
            let (name, what) = words(&told);
            let by = cause.map(|cause| format!(" (caused by {cause})")).unwrap_or_default();
            (name, what + &by)
        }
        Err(error) => (String::new(), format!("cannot be read back: {error}")),
    };
    EventLine {
        sequence: *sequence,
        at: time(*at_micros),
        pool: pool.clone(),
        kind: kind.clone(),
        class: class.clone(),
        reference: reference.clone(),
        name,
        what,
    }
}

/// The name of what it is about, and what happened.
fn words(told: &Told) -> (String, String) {
    match told {
        Told::Stream(Event::Change(change)) => {
            let record = change.new.as_ref().or(change.old.as_ref());
            let name = record.map_or("", |record| record.text("name_label")).to_owned();
            let gap = if change.gap { " (there may have been more)" } else { "" };
            (name, format!("{}{gap}", changed(change)))
        }
        Told::Stream(Event::Task(task)) => {
            let what = match &task.ending {
                Ending::Succeeded(_) => "succeeded".to_owned(),
                Ending::Failed(failure) => format!("failed: {}", failure.code),
                Ending::Cancelled => "cancelled".to_owned(),
                Ending::Lost => "lost".to_owned(),
            };
            (task.name.to_string(), what)
        }
        Told::Stream(Event::Alert(alert)) => (
            alert.name.to_string(),
            format!("alert of priority {} about {} {}", alert.priority, alert.class, alert.object),
        ),
        Told::Stream(Event::Resync(resync)) => {
            let what = format!("{} objects compared, {} differences", resync.objects, resync.differences);
            (String::new(), what)
        }
        Told::Tick(tick) => {
            let missed = if tick.folded { ", and was due before that" } else { "" };
            let late = if tick.late { " (told late)" } else { "" };
            (tick.reference.to_string(), format!("due at {}{missed}{late}", tick.due))
        }
        Told::Connection(connection) => {
            let what = match connection {
                Connection::Connected { endpoint } => format!("connected to {endpoint}"),
                Connection::Lost { why } => format!("lost: {why}"),
                Connection::Moved { endpoint } => format!("moved to {endpoint}"),
            };
            (String::new(), what)
        }
    }
}

fn changed(change: &Change) -> String {
    let (Operation::Modified, Some(old), Some(new)) = (change.operation, &change.old, &change.new) else {
        return change.operation.name().to_owned();
    };
    let mut parts: Vec<String> =
        change.changed.iter().take(FIELDS_MAX).map(|field| difference(field, old, new)).collect();
    if change.changed.len() > FIELDS_MAX {
        parts.push(format!("and {} more", change.changed.len() - FIELDS_MAX));
    }
    parts.join(", ")
}

/// Both values where they are short; the name of the field alone otherwise.
fn difference(field: &str, old: &Record, new: &Record) -> String {
    match (old.get(field).and_then(brief), new.get(field).and_then(brief)) {
        (Some(old), Some(new)) => format!("{field} {old} -> {new}"),
        _ => field.to_owned(),
    }
}

fn brief(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) if text.starts_with("OpaqueRef:") => return None,
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) | Value::DateTime(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Array(_) | Value::Struct(_) => return None,
    };
    (text.chars().count() <= VALUE_MAX).then_some(text)
}

/// How a recorded call went. What it returned is not shown: it is the plugin's affair and may be a secret.
pub(super) fn outcome(stored: &str) -> String {
    let parts: Vec<serde_json::Value> = serde_json::from_str(stored).unwrap_or_default();
    let word = parts.first().and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned();
    let detail = match (word.as_str(), parts.get(1)) {
        ("failed", Some(serde_json::Value::Array(words))) => words.first().and_then(|code| code.as_str()),
        ("not sent" | "in doubt", Some(why)) => why.as_str(),
        _ => None,
    };
    match detail {
        Some(detail) => format!("{word}: {detail}"),
        None => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_returned_is_not_shown() {
        assert_eq!(outcome("[\"succeeded\",\"hunter2\"]"), "succeeded");
        assert_eq!(outcome("[\"started\",\"OpaqueRef:1\"]"), "started");
        assert_eq!(
            outcome("[\"failed\",[\"VM_BAD_POWER_STATE\",\"OpaqueRef:1\"]]"),
            "failed: VM_BAD_POWER_STATE"
        );
        assert_eq!(
            outcome("[\"in doubt\",\"the answer did not come\"]"),
            "in doubt: the answer did not come"
        );
        assert_eq!(outcome("no json"), "unknown");
    }

    #[test]
    fn what_cannot_be_read_says_so_and_is_listed_all_the_same() {
        let stored = StoredEvent {
            sequence: 7,
            pool: "lab".into(),
            kind: "change".into(),
            class: "VM".into(),
            reference: "OpaqueRef:1".into(),
            at_micros: 0,
            payload: "{".into(),
        };
        let line = event(&stored);
        assert_eq!((line.sequence, line.at.as_str()), (7, "1970-01-01T00:00:00Z"));
        assert!(line.what.starts_with("cannot be read back: "), "{}", line.what);
    }
}
