//! The event that a delivery carries, in XAPI's own terms: raw references and whole records. What a plugin sees of
//! it is decided by its grant when the event crosses into the sandbox.

use std::sync::Arc;

use smol_str::SmolStr;
use xapi::model::Record;
use xapi::{Failure, Value};

/// One event for one plugin.
#[derive(Debug, Clone)]
pub struct Event {
    /// Position in the journal; the same on every attempt.
    pub sequence: u64,
    /// The pool's name in the config.
    pub pool: String,
    /// When the daemon learned of it, RFC 3339.
    pub at: String,
    /// How it was found.
    pub origin: Origin,
    /// Whether changes may have been missed or folded before it.
    pub gap: bool,
    /// 1 on the first delivery.
    pub attempt: u32,
    /// The manifest's name of the subscription that matched.
    pub subscription: String,
    /// What happened.
    pub subject: Subject,
}

/// How an event was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Told by the pool's event stream.
    Live,
    /// Found by comparing the whole pool after an interruption.
    Resync,
    /// An old event, run again on purpose.
    Replay,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// It appeared.
    Added,
    /// Fields changed.
    Modified,
    /// It is gone.
    Deleted,
}

impl Operation {
    /// The word in manifests: `added`, `modified`, `deleted`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Operation::Added => "added",
            Operation::Modified => "modified",
            Operation::Deleted => "deleted",
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone)]
pub enum Subject {
    /// An object changed.
    Change(Change),
    /// A task ended.
    Task(TaskOutcome),
    /// XAPI raised an alert (class `message`).
    Alert(Alert),
    /// A schedule came due.
    Tick(Tick),
    /// The connection to the pool changed.
    Connection(Connection),
}

/// A change of one object.
#[derive(Debug, Clone)]
pub struct Change {
    /// The class with its case on the wire, `VM`.
    pub class: SmolStr,
    /// XAPI's raw reference.
    pub reference: SmolStr,
    /// The uuid, for classes that have one.
    pub uuid: Option<SmolStr>,
    /// What happened to it.
    pub operation: Operation,
    /// The record before; none for `Added`.
    pub old: Option<Arc<Record>>,
    /// The record after; none for `Deleted`.
    pub new: Option<Arc<Record>>,
    /// Names of the fields that differ.
    pub changed: Vec<SmolStr>,
    /// The delivery whose call caused it, `PLUGIN/SEQUENCE`, where it was ours.
    pub caused_by: Option<String>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// With this decoded result.
    Succeeded(Value),
    /// With XAPI's error.
    Failed(Failure),
    /// By a cancel.
    Cancelled,
    /// It vanished before its outcome was seen.
    Lost,
}

/// The outcome of one task.
#[derive(Debug, Clone)]
pub struct TaskOutcome {
    /// XAPI's raw reference.
    pub reference: SmolStr,
    /// The task's `name_label`, such as `Async.VM.start`.
    pub name: String,
    /// How it ended.
    pub ending: Ending,
    /// The delivery that started it, `PLUGIN/SEQUENCE`, where it was ours.
    pub started_by: Option<String>,
}

/// One alert.
#[derive(Debug, Clone)]
pub struct Alert {
    /// Such as `VM_CRASHED`.
    pub name: String,
    /// 1 (most pressing) to 5; 0 where the pool says something else.
    pub priority: u8,
    /// The class it is about, as XAPI words it.
    pub class: String,
    /// The uuid of the object it is about.
    pub uuid: String,
    /// Free text, sometimes XML.
    pub body: String,
}

/// A schedule that came due.
#[derive(Debug, Clone)]
pub struct Tick {
    /// The manifest's name of the schedule.
    pub schedule: String,
    /// When it was due, RFC 3339.
    pub due: String,
}

/// What became of the connection to the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// It stands.
    Connected,
    /// It is gone, and why.
    Lost(String),
    /// Another member is coordinator now; its address.
    Moved(String),
    /// After an interruption, the whole pool was compared.
    Resynced,
}
