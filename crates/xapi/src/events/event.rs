//! What the stream tells.

use std::sync::Arc;

use smol_str::SmolStr;

use super::alert::Alert;
use super::batch::Operation;
use crate::codec::{Failure, Limits, xml};
use crate::model::Record;
use crate::value::{Struct, Value};

/// One thing that happened in a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An object was added, changed or deleted.
    Change(Change),
    /// A task reached its end, or vanished before we saw it.
    Task(TaskOutcome),
    /// The pool raised an alert (class `message`).
    Alert(Alert),
    /// The whole pool was read and compared. Told after the differences that it brought.
    Resync(Resync),
}

impl Event {
    /// The class of the object that it is about, with its case on the wire; none for a resync.
    #[must_use]
    pub fn class(&self) -> Option<&SmolStr> {
        const TASK: &SmolStr = &SmolStr::new_static("task");
        const MESSAGE: &SmolStr = &SmolStr::new_static("message");
        match self {
            Event::Change(change) => Some(&change.class),
            Event::Task(_) => Some(TASK),
            Event::Alert(_) => Some(MESSAGE),
            Event::Resync(_) => None,
        }
    }
}

/// How we came to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// xapi told it.
    Live,
    /// Found by comparing the whole picture after an interruption, or by counting.
    Resync,
}

/// A change of one object. XAPI tells states, not steps: several writes between two looks come as one change, and what
/// was in between is not known. An object that came and went between two looks is not told at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// With its case on the wire: `VM`.
    pub class: SmolStr,
    /// The opaque reference.
    pub reference: SmolStr,
    /// What happened.
    pub operation: Operation,
    /// The record before; none for additions.
    pub old: Option<Arc<Record>>,
    /// The record after; none for deletions.
    pub new: Option<Arc<Record>>,
    /// Names of the fields that differ; empty for additions and deletions.
    pub changed: Vec<SmolStr>,
    /// The database's generation at that change, where xapi told it; 0 otherwise.
    pub generation: i64,
    /// How we know.
    pub origin: Origin,
    /// Changes of this object may have been missed before this one.
    pub gap: bool,
}

impl Change {
    /// The uuid, from whichever record there is.
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        self.new.as_ref().or(self.old.as_ref()).and_then(|record| record.uuid())
    }
}

/// The end of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOutcome {
    /// The task's reference.
    pub reference: SmolStr,
    /// Its uuid.
    pub uuid: SmolStr,
    /// What was asked for, such as `Async.VM.start`.
    pub name: SmolStr,
    /// How it ended.
    pub ending: Ending,
    /// The task's `other_config`, where our own mark is found.
    pub other_config: Struct,
    /// How we know.
    pub origin: Origin,
    /// The task may have gone through more than we saw.
    pub gap: bool,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With this result.
    Succeeded(Value),
    /// With this error.
    Failed(Failure),
    /// Cancelled on request.
    Cancelled,
    /// It vanished before its end was seen: whoever cares must look at the object.
    Lost,
}

/// A whole picture was compared with what was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// Nothing was known before, so nothing could be compared.
    pub first: bool,
    /// How many objects the pool has.
    pub objects: usize,
    /// How many differences were found and told.
    pub differences: usize,
    /// Classes that are followed from now on and were not before, so that nothing could be compared of them.
    pub begun: Vec<SmolStr>,
}

/// How a finished task ended; none while it is pending. `cancelling` is a word that xapi never uses.
#[must_use]
pub fn ending(task: &Record) -> Option<Ending> {
    match task.text("status") {
        "success" => {
            // The result is always XML text; scripts may have put any other text there.
            let text = task.text("result");
            let result = xml::decode_value(text, &Limits::default()).unwrap_or_else(|_| Value::from(text));
            Some(Ending::Succeeded(result))
        }
        "failure" => {
            let words = task.get("error_info").and_then(Value::as_array).unwrap_or_default();
            let mut words = words.iter().filter_map(Value::as_str);
            let code = words.next().unwrap_or("INTERNAL_ERROR");
            Some(Ending::Failed(Failure::new(code, words)))
        }
        "cancelled" => Some(Ending::Cancelled),
        _ => None,
    }
}
