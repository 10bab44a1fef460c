//! What a plugin hears.

use std::fmt;

use crate::xapi::Class;
use crate::{Error, Moment, Object, Reference, Value, host};

/// What is told of every event, whatever it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Position in the journal: the same event has the same number on every attempt.
    pub sequence: u64,
    /// The pool's name in the daemon's configuration.
    pub pool: String,
    /// When the daemon learned of it.
    pub at: Moment,
    /// Where it comes from.
    pub origin: Origin,
    /// Changes may have been missed or folded before this one.
    pub gap: bool,
    /// 1 on the first delivery.
    pub attempt: u32,
    /// The manifest's name of the subscription that matched.
    pub subscription: String,
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

/// What an event is about. A handler that takes this takes anything; most take one of the types below.
#[derive(Debug)]
pub enum Subject {
    /// An object appeared, changed or went away.
    Change(AnyChange),
    /// A task of the pool has ended.
    Task(TaskOutcome),
    /// The pool has something to tell.
    Alert(Alert),
    /// A schedule of the manifest is due.
    Tick(Tick),
    /// The connection to the pool changed.
    Connection(Connection),
}

/// A change as it came, before a handler says which class and which operation it is for.
#[doc(hidden)]
#[derive(Debug)]
pub struct AnyChange {
    pub(crate) class: String,
    pub(crate) reference: Reference,
    pub(crate) uuid: Option<String>,
    pub(crate) operation: Operation,
    pub(crate) old: Option<host::Record>,
    pub(crate) new: Option<host::Record>,
    pub(crate) changed: Vec<String>,
    pub(crate) caused_by: Option<String>,
}

/// An object appeared, changed or went away: for a subscription that hears more than one of these.
///
/// `T` is the object's class, such as [`Vm`](crate::xapi::Vm); [`Object`] fits any.
///
/// ```
/// use xapiary_sdk::xapi::Vm;
/// use xapiary_sdk::{Change, Operation, Outcome, info};
///
/// fn lives(vm: Change<Vm>) -> Outcome {
///     match (&vm.operation, &vm.new) {
///         (Operation::Added, Some(new)) => info!("{} is new", new.name_label()?),
///         (operation, _) => info!("{:?} is {operation}", vm.uuid),
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Change<T = Object> {
    /// The class, as XAPI spells it.
    pub class: String,
    /// The object's handle.
    pub reference: Reference,
    /// Its UUID, where the class has one.
    pub uuid: Option<String>,
    /// What happened.
    pub operation: Operation,
    /// The record before; `None` when the object was added.
    pub old: Option<T>,
    /// The record after; `None` when the object was deleted.
    pub new: Option<T>,
    /// The names of the fields that differ between the two.
    pub changed: Vec<String>,
    /// The delivery whose call caused this, where it was the daemon's: `PLUGIN/SEQUENCE`.
    pub caused_by: Option<String>,
}

/// An object appeared: for a subscription with `on = ["added"]`.
#[derive(Debug)]
pub struct Added<T = Object> {
    /// The new object.
    pub new: T,
    /// The delivery whose call caused this, where it was the daemon's: `PLUGIN/SEQUENCE`.
    pub caused_by: Option<String>,
}

/// An object changed: for a subscription with `on = ["modified"]`.
///
/// ```
/// use xapiary_sdk::xapi::{Vm, VmPowerState};
/// use xapiary_sdk::{Modified, Outcome, info};
///
/// fn power(vm: Modified<Vm>) -> Outcome {
///     if vm.new.power_state()? == VmPowerState::Halted {
///         info!("{} was {} and has stopped", vm.new.name_label()?, vm.old.power_state()?);
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Modified<T = Object> {
    /// The record before.
    pub old: T,
    /// The record after.
    pub new: T,
    /// The names of the fields that differ between the two.
    pub changed: Vec<String>,
    /// The delivery whose call caused this, where it was the daemon's: `PLUGIN/SEQUENCE`.
    pub caused_by: Option<String>,
}

/// An object went away: for a subscription with `on = ["deleted"]`.
#[derive(Debug)]
pub struct Deleted<T = Object> {
    /// The object as it last was.
    pub old: T,
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

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Operation::Added => "added",
            Operation::Modified => "modified",
            Operation::Deleted => "deleted",
        })
    }
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
    /// When it was due. A late delivery keeps the time that was planned.
    pub due: Moment,
}

/// The connection to the pool changed.
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

/// What a handler may take as its subject. Implemented by the SDK's types.
pub trait Hears: Sized {
    /// What a subscription must be for this type; [`export::fits`](crate::export::fits) compares.
    #[doc(hidden)]
    const WANTS: Wants;

    /// The subject as this type; `None` when the event is about something else.
    #[doc(hidden)]
    fn of(subject: Subject) -> Option<Self>;
}

/// What a type of subject can be heard by.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub enum Wants {
    Anything,
    /// Changes of one class, or of any where it is empty; one operation or any.
    Change(&'static str, Option<Operation>),
    Task,
    Alert,
    Tick,
    Connection,
}

impl Hears for Subject {
    const WANTS: Wants = Wants::Anything;

    fn of(subject: Subject) -> Option<Self> {
        Some(subject)
    }
}

impl<T: Class> Hears for Change<T> {
    const WANTS: Wants = Wants::Change(T::CLASS, None);

    fn of(subject: Subject) -> Option<Self> {
        let change = change(subject)?;
        Some(Change {
            class: change.class,
            reference: change.reference,
            uuid: change.uuid,
            operation: change.operation,
            old: change.old.map(typed),
            new: change.new.map(typed),
            changed: change.changed,
            caused_by: change.caused_by,
        })
    }
}

impl<T: Class> Hears for Added<T> {
    const WANTS: Wants = Wants::Change(T::CLASS, Some(Operation::Added));

    fn of(subject: Subject) -> Option<Self> {
        let change = change(subject)?;
        Some(Added { new: typed(change.new?), caused_by: change.caused_by })
    }
}

impl<T: Class> Hears for Modified<T> {
    const WANTS: Wants = Wants::Change(T::CLASS, Some(Operation::Modified));

    fn of(subject: Subject) -> Option<Self> {
        let change = change(subject)?;
        Some(Modified {
            old: typed(change.old?),
            new: typed(change.new?),
            changed: change.changed,
            caused_by: change.caused_by,
        })
    }
}

impl<T: Class> Hears for Deleted<T> {
    const WANTS: Wants = Wants::Change(T::CLASS, Some(Operation::Deleted));

    fn of(subject: Subject) -> Option<Self> {
        let change = change(subject)?;
        Some(Deleted { old: typed(change.old?), caused_by: change.caused_by })
    }
}

fn change(subject: Subject) -> Option<AnyChange> {
    if let Subject::Change(change) = subject { Some(change) } else { None }
}

fn typed<T: Class>(record: host::Record) -> T {
    T::from_object(Object::new(record))
}

macro_rules! heard_as_it_is {
    ($($kind:ident $subject:ident => $wants:ident;)*) => {
        $(impl Hears for $subject {
            const WANTS: Wants = Wants::$wants;

            fn of(subject: Subject) -> Option<Self> {
                if let Subject::$kind(subject) = subject { Some(subject) } else { None }
            }
        })*
    };
}

heard_as_it_is! {
    Task TaskOutcome => Task;
    Alert Alert => Alert;
    Tick Tick => Tick;
    Connection Connection => Connection;
}
