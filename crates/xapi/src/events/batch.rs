//! The answer to `event.from`, taken apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::batch_shape::BatchShape;
use super::seen::{Print, Seen};
use crate::codec::{DecodeError, Failure, Limits, Reply, json, xml};
use crate::model::{Fields, Record};
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
    pub snapshot: Option<Arc<Record>>,
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
    /// Reads an answer over XML-RPC: the batch, or why there is none.
    ///
    /// # Errors
    /// When the bytes are no answer to `event.from` within the limits.
    pub fn decode_xml(body: &[u8], limits: &Limits) -> Result<Result<Self, Failure>, DecodeError> {
        match xml::decode_success(body, limits, BatchShape { seen: &mut Seen::default() }) {
            Ok(batch) => Ok(Ok(batch)),
            Err(_) => Batch::of_reply(xml::decode_reply(body, limits)?, body),
        }
    }

    /// Reads an answer over JSON-RPC: the batch, or why there is none.
    ///
    /// # Errors
    /// When the bytes are no answer to `event.from` within the limits.
    pub fn decode_json(body: &[u8], limits: &Limits) -> Result<Result<Self, Failure>, DecodeError> {
        Batch::decode_json_again(body, limits, &mut Seen::default())
    }

    /// As [`Batch::decode_json`], for one of several answers: objects that are as they were when they were seen last are
    /// not read a second time, and come as the same record.
    ///
    /// # Errors
    /// As for [`Batch::decode_json`].
    pub fn decode_json_again(
        body: &[u8],
        limits: &Limits,
        seen: &mut Seen,
    ) -> Result<Result<Self, Failure>, DecodeError> {
        match json::decode_success(body, limits, BatchShape { seen }) {
            Ok(batch) => Ok(Ok(batch)),
            Err(_) => Batch::of_reply(json::decode_reply(body, limits)?, body),
        }
    }

    /// A refusal, or something that only the general reader can read or say what is wrong with it.
    fn of_reply(reply: Reply, body: &[u8]) -> Result<Result<Self, Failure>, DecodeError> {
        match reply {
            Ok(value) => match Batch::read(value) {
                Ok(batch) => Ok(Ok(batch)),
                Err(error) => Err(DecodeError::new(error.to_string(), body.len())),
            },
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// Reads the decoded value of either wire.
    ///
    /// # Errors
    /// When a part is missing or of another shape; nothing of it should be used then.
    pub fn read(value: Value) -> Result<Self, BatchError> {
        let Value::Struct(mut members) = value else { return Err(lacks("struct")) };
        let mut part = |name: &str| members.remove(name).ok_or_else(|| lacks(name));
        let (token, counts) = (part("token")?, part("valid_ref_counts")?);
        let Value::Array(events) = part("events")? else { return Err(lacks("events")) };
        let events = events
            .into_iter()
            .enumerate()
            .map(|(index, event)| {
                let parts = Parts::of(event).and_then(Parts::finish);
                parts.map_err(|what| lacks(format!("{what} in event {index}")))
            })
            .collect::<Result<_, _>>()?;
        Batch::of(events, counts, token)
    }

    pub(super) fn of(mut events: Vec<RawEvent>, counts: Value, token: Value) -> Result<Self, BatchError> {
        let Value::String(token) = token else { return Err(lacks("token")) };
        let Value::Struct(counts) = counts else { return Err(lacks("valid_ref_counts")) };
        let counts = counts
            .into_iter()
            .map(|(class, count)| match count.as_int() {
                Some(count) => Ok((class, count)),
                None => Err(lacks(format!("count of {class}"))),
            })
            .collect::<Result<_, _>>()?;
        // xapi lists additions, then changes, then deletions; rows touched by one write share a generation and keep
        // their order.
        events.sort_by_key(|event| event.generation);
        Ok(Batch { events, counts, token })
    }
}

/// The members of one event, before it is known whether all are there.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) id: Option<Value>,
    pub(super) class: Option<Value>,
    pub(super) operation: Option<Value>,
    pub(super) reference: Option<Value>,
    pub(super) snapshot: Option<Snapshot>,
    /// Of the bytes of the snapshot, where they could be told.
    pub(super) print: Option<Print>,
}

/// The record of an event.
pub(super) enum Snapshot {
    Typed(Fields),
    /// Read before.
    Seen(Arc<Record>),
    Untyped(Value),
}

impl Parts {
    fn of(event: Value) -> Result<Self, &'static str> {
        let Value::Struct(mut members) = event else { return Err("struct") };
        let mut part = |name| members.remove(name);
        Ok(Parts {
            id: part("id"),
            class: part("class"),
            operation: part("operation"),
            reference: part("ref"),
            snapshot: part("snapshot").map(Snapshot::Untyped),
            print: None,
        })
    }

    pub(super) fn finish(self) -> Result<RawEvent, &'static str> {
        let text = |part, name| match part {
            Some(Value::String(text)) => Ok(text),
            Some(Value::Int(number)) => Ok(SmolStr::from(number.to_string())),
            _ => Err(name),
        };
        let generation = text(self.id, "id")?.parse().map_err(|_| "id")?;
        let (class, reference) = (text(self.class, "class")?, text(self.reference, "ref")?);
        let operation = match text(self.operation, "operation")?.as_str() {
            "add" => Operation::Added,
            "mod" => Operation::Modified,
            "del" => Operation::Deleted,
            _ => return Err("operation"),
        };
        let snapshot = match self.snapshot {
            Some(Snapshot::Seen(record)) => Some(record),
            Some(Snapshot::Typed(fields)) => {
                Some(Arc::new(Record::filled(&class, reference.clone(), fields)))
            }
            Some(Snapshot::Untyped(Value::Struct(fields))) => {
                Some(Arc::new(Record::new(&class, reference.clone(), fields)))
            }
            None if operation == Operation::Deleted => None,
            Some(Snapshot::Untyped(_)) | None => return Err("snapshot"),
        };
        Ok(RawEvent { generation, class, operation, reference, snapshot })
    }
}
