//! The answer to `event.from`, taken apart.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::model::Record;
use crate::value::Value;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// In the order of their generation.
    pub events: Vec<RawEvent>,
    /// How many objects each class has on the server, by lower-case class name; the classes counted vary.
    pub counts: BTreeMap<SmolStr, i64>,
    /// Where the next poll goes on.
    pub token: SmolStr,
}

/// One event as xapi tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// The database's generation at that change; 0 for messages.
    pub generation: i64,
    /// In lower case.
    pub class: SmolStr,
    /// What happened.
    pub operation: Operation,
    /// To which object.
    pub reference: SmolStr,
    /// The whole object, typed by the schema; none for deletions.
    pub snapshot: Option<Record>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It is new.
    Added,
    /// It is different.
    Modified,
    /// It is gone.
    Deleted,
}

impl Operation {
    /// `added`, `modified`, `deleted`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::Added => "added",
            Operation::Modified => "modified",
            Operation::Deleted => "deleted",
        }
    }
}

/// Why a value is no answer to `event.from`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the answer to event.from has no usable {what}")]
pub struct BatchError {
    what: String,
}

fn lacks(what: impl Into<String>) -> BatchError {
    BatchError { what: what.into() }
}

impl Batch {
    /// Reads the decoded value of either wire.
    ///
    /// # Errors
    /// When a part is missing or of another shape; nothing of it should be used then.
    pub fn read(value: Value) -> Result<Self, BatchError> {
        let Value::Struct(mut members) = value else { return Err(lacks("struct")) };
        let token = match members.remove("token") {
            Some(Value::String(token)) => token,
            _ => return Err(lacks("token")),
        };
        let Some(Value::Struct(counts)) = members.remove("valid_ref_counts") else {
            return Err(lacks("valid_ref_counts"));
        };
        let counts = counts
            .into_iter()
            .map(|(class, count)| match count.as_int() {
                Some(count) => Ok((class, count)),
                None => Err(lacks(format!("count of {class}"))),
            })
            .collect::<Result<_, _>>()?;
        let Some(Value::Array(events)) = members.remove("events") else { return Err(lacks("events")) };
        let mut events = events
            .into_iter()
            .enumerate()
            .map(|(index, event)| raw_event(event).map_err(|what| lacks(format!("{what} in event {index}"))))
            .collect::<Result<Vec<_>, _>>()?;
        // xapi lists additions, then changes, then deletions; rows touched by one write share a generation and keep
        // their order.
        events.sort_by_key(|event| event.generation);
        Ok(Batch { events, counts, token })
    }
}

fn raw_event(event: Value) -> Result<RawEvent, &'static str> {
    let Value::Struct(mut members) = event else { return Err("struct") };
    let mut text = |name| match members.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Int(number)) => Ok(SmolStr::from(number.to_string())),
        _ => Err(name),
    };
    let generation = text("id")?.parse().map_err(|_| "id")?;
    let (class, reference) = (text("class")?, text("ref")?);
    let operation = match text("operation")?.as_str() {
        "add" => Operation::Added,
        "mod" => Operation::Modified,
        "del" => Operation::Deleted,
        _ => return Err("operation"),
    };
    let snapshot = match members.remove("snapshot") {
        Some(Value::Struct(fields)) => Some(Record::new(&class, reference.clone(), fields)),
        None if operation == Operation::Deleted => None,
        Some(_) | None => return Err("snapshot"),
    };
    Ok(RawEvent { generation, class, operation, reference, snapshot })
}
