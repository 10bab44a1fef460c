//! What a plugin hears.

use crate::bindings::xapiary::plugin::events as wire;
use crate::{Error, Object, Reference, Value};

/// One delivery of one event.
#[derive(Debug)]
pub struct Event {
    /// Position in the journal: the same event has the same number on every attempt.
    pub sequence: u64,
    /// The pool's name in the daemon's configuration.
    pub pool: String,
    /// When the daemon learned of it, RFC 3339, UTC.
    pub at: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Changes may have been missed or folded before this one.
    pub gap: bool,
    /// 1 on the first delivery.
    pub attempt: u32,
    /// The manifest's name of the subscription that matched.
    pub subscription: String,
    /// What it is about.
    pub subject: Subject,
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The pool said so as it happened.
    Live,
    /// Found by comparing the whole pool after an interruption.
    Resync,
    /// An old event, run again on purpose.
    Replay,
}

/// What an event is about.
#[derive(Debug)]
pub enum Subject {
    /// An object appeared, changed or went away.
    Change(Change),
    /// A task of the pool has ended.
    Task(TaskOutcome),
    /// The pool has something to tell.
    Alert(Alert),
    /// A schedule of the manifest is due.
    Tick(Tick),
    /// The connection to the pool changed.
    Connection(Connection),
}

/// An object appeared, changed or went away.
#[derive(Debug)]
pub struct Change {
    /// The class, as XAPI spells it.
    pub class: String,
    /// The object's handle.
    pub reference: Reference,
    /// Its UUID, where the class has one.
    pub uuid: Option<String>,
    /// What happened.
    pub operation: Operation,
    /// The record before; `None` when the object was added.
    pub old: Option<Object>,
    /// The record after; `None` when the object was deleted.
    pub new: Option<Object>,
    /// The names of the fields that differ between the two.
    pub changed: Vec<String>,
    /// The delivery whose call caused this, where it was the daemon's: `PLUGIN/SEQUENCE`.
    pub caused_by: Option<String>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It appeared.
    Added,
    /// At least one of its fields is different.
    Modified,
    /// It went away.
    Deleted,
}

/// A task of the pool has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskOutcome {
    /// The task's handle; the object itself may be gone.
    pub reference: Reference,
    /// What was asked for, such as `Async.VM.start`.
    pub name: String,
    /// How it ended.
    pub ending: Ending,
    /// The delivery that started it, where it was the daemon's: `PLUGIN/SEQUENCE`.
    pub started_by: Option<String>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// With the method's result.
    Succeeded(Value),
    /// With an error of XAPI's.
    Failed(Error),
    /// Because somebody cancelled it.
    Cancelled,
    /// Unseen: the task vanished before its outcome was known.
    Lost,
}

/// The pool has something to tell: an object of XAPI's class `message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The kind of alert, such as `HA_HOST_FAILED`.
    pub name: String,
    /// 1 (most pressing) to 5; 0 where the pool says something else.
    pub priority: u8,
    /// The class of the object that it is about.
    pub class: String,
    /// The UUID of that object.
    pub uuid: String,
    /// What it says, often XML; empty where no `[[read]]` of the grant shows `body` of `message`.
    pub body: String,
}

/// A schedule of the manifest is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// The schedule's name.
    pub schedule: String,
    /// When it was due, RFC 3339. A late delivery keeps the time that was planned.
    pub due: String,
}

/// The daemon's connection to the pool changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// A session is there and the pool has been read.
    Connected,
    /// It broke, and why. What happens now is told after the resync.
    Lost(String),
    /// Another member answers now; its name or address.
    Moved(String),
    /// The pool was compared with what was known, and the differences are in the journal before this event.
    Resynced,
}

impl From<wire::Event> for Event {
    fn from(event: wire::Event) -> Event {
        let origin = match event.origin {
            wire::Origin::Live => Origin::Live,
            wire::Origin::Resync => Origin::Resync,
            wire::Origin::Replay => Origin::Replay,
        };
        let subject = match event.subject {
            wire::Subject::Change(change) => Subject::Change(change.into()),
            wire::Subject::Task(task) => Subject::Task(task.into()),
            wire::Subject::Alert(alert) => Subject::Alert(Alert {
                name: alert.name,
                priority: alert.priority,
                class: alert.class,
                uuid: alert.uuid,
                body: alert.body,
            }),
            wire::Subject::Tick(tick) => Subject::Tick(Tick { schedule: tick.schedule, due: tick.due }),
            wire::Subject::Connection(connection) => Subject::Connection(match connection {
                wire::Connection::Connected => Connection::Connected,
                wire::Connection::Lost(why) => Connection::Lost(why),
                wire::Connection::Moved(to) => Connection::Moved(to),
                wire::Connection::Resynced => Connection::Resynced,
            }),
        };
        Event {
            sequence: event.sequence,
            pool: event.pool,
            at: event.at,
            origin,
            gap: event.gap,
            attempt: event.attempt,
            subscription: event.subscription,
            subject,
        }
    }
}

impl From<wire::Change> for Change {
    fn from(change: wire::Change) -> Change {
        Change {
            class: change.class,
            reference: Reference(change.reference),
            uuid: change.uuid,
            operation: match change.operation {
                wire::Operation::Added => Operation::Added,
                wire::Operation::Modified => Operation::Modified,
                wire::Operation::Deleted => Operation::Deleted,
            },
            old: change.old.map(Object::from),
            new: change.new.map(Object::from),
            changed: change.changed,
            caused_by: change.caused_by,
        }
    }
}

impl From<wire::TaskOutcome> for TaskOutcome {
    fn from(outcome: wire::TaskOutcome) -> TaskOutcome {
        TaskOutcome {
            reference: Reference(outcome.reference),
            name: outcome.name,
            ending: match outcome.ending {
                wire::Ending::Succeeded(value) => Ending::Succeeded(value.into()),
                wire::Ending::Failed(error) => Ending::Failed(error.into()),
                wire::Ending::Cancelled => Ending::Cancelled,
                wire::Ending::Lost => Ending::Lost,
            },
            started_by: outcome.started_by,
        }
    }
}
