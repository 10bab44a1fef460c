//! The contract's imports, and the contract's shapes as the SDK's.

use crate::bindings::xapiary::plugin::{
    calls, events, log, objects, settings as wire_settings, store, types,
};
use crate::event::{
    Alert, AnyChange, Connection, Ending, Event, Operation, Origin, Subject, TaskOutcome, Tick,
};
use crate::log::Level;
use crate::{Error, Failure, Fault, Moment, Progress, Reference, Value};

/// One record, held by the daemon.
#[derive(Debug)]
pub(crate) struct Record(objects::Object);

impl Record {
    pub(crate) fn class(&self) -> String {
        self.0.class()
    }

    pub(crate) fn reference(&self) -> Reference {
        Reference(self.0.reference())
    }

    pub(crate) fn uuid(&self) -> Option<String> {
        self.0.uuid()
    }

    pub(crate) fn fields(&self) -> Vec<String> {
        self.0.fields()
    }

    pub(crate) fn get(&self, field: &str) -> Result<Value, Error> {
        Ok(self.0.get(field)?.into())
    }

    pub(crate) fn follow(&self, field: &str) -> Result<Vec<Record>, Error> {
        Ok(self.0.follow(field)?.into_iter().map(Record).collect())
    }

    pub(crate) fn to_json(&self) -> String {
        self.0.to_json()
    }
}

/// One page of a search, and where the next begins.
pub(crate) fn find(
    class: &str,
    filter: &str,
    limit: u32,
    after: Option<&str>,
) -> Result<(Vec<Record>, Option<String>), Error> {
    let page = objects::find(class, filter, limit, after)?;
    Ok((page.objects.into_iter().map(Record).collect(), page.next))
}

pub(crate) fn by_reference(reference: &Reference) -> Result<Option<Record>, Error> {
    Ok(objects::by_reference(reference.as_str())?.map(Record))
}

pub(crate) fn by_uuid(class: &str, uuid: &str) -> Result<Option<Record>, Error> {
    Ok(objects::by_uuid(class, uuid)?.map(Record))
}

pub(crate) fn by_name_label(class: &str, name: &str) -> Result<Vec<Record>, Error> {
    Ok(objects::by_name_label(class, name)?.into_iter().map(Record).collect())
}

pub(crate) fn call(method: &str, arguments: Vec<Value>) -> Result<Value, Error> {
    Ok(calls::call(method, &to_wire(arguments))?.into())
}

pub(crate) fn start(method: &str, arguments: Vec<Value>) -> Result<Task, Error> {
    Ok(Task(calls::start(method, &to_wire(arguments))?))
}

fn to_wire(arguments: Vec<Value>) -> Vec<types::Value> {
    arguments.into_iter().map(Into::into).collect()
}

/// A task, held by the daemon.
#[derive(Debug)]
pub(crate) struct Task(calls::Task);

impl Task {
    pub(crate) fn reference(&self) -> Reference {
        Reference(self.0.reference())
    }

    pub(crate) fn wait(&self, milliseconds: u64) -> Progress<Value> {
        match self.0.wait(milliseconds) {
            calls::Progress::Pending(part) => Progress::Pending(part),
            calls::Progress::Succeeded(value) => Progress::Succeeded(value.into()),
            calls::Progress::Failed(error) => Progress::Failed(error.into()),
            calls::Progress::Cancelled => Progress::Cancelled,
            calls::Progress::Lost => Progress::Lost,
        }
    }

    pub(crate) fn cancel(&self) -> Result<(), Error> {
        Ok(self.0.cancel()?)
    }
}

pub(crate) fn stored(key: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(store::get(key)?)
}

pub(crate) fn store(key: &str, value: &[u8]) -> Result<(), Error> {
    Ok(store::set(key, value)?)
}

pub(crate) fn forget(key: &str) -> Result<(), Error> {
    Ok(store::delete(key)?)
}

pub(crate) fn keys(prefix: &str, limit: u32, after: Option<&str>) -> Result<Vec<String>, Error> {
    Ok(store::keys(prefix, limit, after)?)
}

/// All settings as a JSON object.
pub(crate) fn settings() -> String {
    wire_settings::all()
}

pub(crate) fn secret(name: &str) -> Result<String, Error> {
    Ok(wire_settings::secret(name)?)
}

pub(crate) fn write(level: Level, message: &str, fields: &[(String, String)]) {
    let level = match level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::write(level, message, fields);
}

/// A delivery taken apart: what is told of every event, and what this one is about.
pub(crate) fn received(event: events::Event) -> (Event, Subject) {
    let origin = match event.origin {
        events::Origin::Live => Origin::Live,
        events::Origin::Resync => Origin::Resync,
        events::Origin::Replay => Origin::Replay,
    };
    let subject = match event.subject {
        events::Subject::Change(change) => Subject::Change(change.into()),
        events::Subject::Task(outcome) => Subject::Task(outcome.into()),
        events::Subject::Alert(alert) => Subject::Alert(Alert {
            name: alert.name,
            priority: alert.priority,
            class: alert.class,
            uuid: alert.uuid,
            body: alert.body,
        }),
        events::Subject::Tick(tick) => {
            Subject::Tick(Tick { schedule: tick.schedule, due: Moment::from_wire(tick.due) })
        }
        events::Subject::Connection(connection) => Subject::Connection(match connection {
            events::Connection::Connected => Connection::Connected,
            events::Connection::Lost(why) => Connection::Lost(why),
            events::Connection::Moved(to) => Connection::Moved(to),
            events::Connection::Resynced => Connection::Resynced,
        }),
    };
    let event = Event {
        sequence: event.sequence,
        pool: event.pool,
        at: Moment::from_wire(event.at),
        origin,
        gap: event.gap,
        attempt: event.attempt,
        subscription: event.subscription,
    };
    (event, subject)
}

impl From<events::Change> for AnyChange {
    fn from(change: events::Change) -> AnyChange {
        AnyChange {
            class: change.class,
            reference: Reference(change.reference),
            uuid: change.uuid,
            operation: match change.operation {
                events::Operation::Added => Operation::Added,
                events::Operation::Modified => Operation::Modified,
                events::Operation::Deleted => Operation::Deleted,
            },
            old: change.old.map(Record),
            new: change.new.map(Record),
            changed: change.changed,
            caused_by: change.caused_by,
        }
    }
}

impl From<events::TaskOutcome> for TaskOutcome {
    fn from(outcome: events::TaskOutcome) -> TaskOutcome {
        TaskOutcome {
            reference: Reference(outcome.reference),
            name: outcome.name,
            ending: match outcome.ending {
                events::Ending::Succeeded(value) => Ending::Succeeded(value.into()),
                events::Ending::Failed(error) => Ending::Failed(error.into()),
                events::Ending::Cancelled => Ending::Cancelled,
                events::Ending::Lost => Ending::Lost,
            },
            started_by: outcome.started_by,
        }
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Error {
        let fault = match error.fault {
            types::Fault::Denied => Fault::Denied,
            types::Fault::Limit => Fault::Limit,
            types::Fault::Xapi => Fault::Xapi,
            types::Fault::Transport => Fault::Transport,
            types::Fault::InDoubt => Fault::InDoubt,
            types::Fault::DryRun => Fault::DryRun,
            types::Fault::Invalid => Fault::Invalid,
        };
        Error { fault, code: error.code, params: error.params, advice: error.advice }
    }
}

impl From<Failure> for events::Failure {
    fn from(failure: Failure) -> events::Failure {
        match failure {
            Failure::Retry { after, why } => {
                let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                events::Failure::Retry(events::Pause { after, why })
            }
            Failure::GiveUp(why) => events::Failure::GiveUp(why),
        }
    }
}

impl From<types::Value> for Value {
    fn from(value: types::Value) -> Value {
        match value {
            types::Value::Nothing => Value::Nothing,
            types::Value::Text(text) => Value::Text(text),
            types::Value::Whole(number) => Value::Whole(number),
            types::Value::Real(number) => Value::Real(number),
            types::Value::Truth(truth) => Value::Truth(truth),
            types::Value::Moment(moment) => Value::Moment(Moment::from_wire(moment)),
            types::Value::Reference(reference) => Value::Reference(Reference(reference)),
            types::Value::Texts(texts) => Value::Texts(texts),
            types::Value::References(references) => {
                Value::References(references.into_iter().map(Reference).collect())
            }
            types::Value::Pairs(pairs) => Value::Pairs(pairs),
            types::Value::Json(json) => Value::Json(json),
        }
    }
}

impl From<Value> for types::Value {
    fn from(value: Value) -> types::Value {
        match value {
            Value::Nothing => types::Value::Nothing,
            Value::Text(text) => types::Value::Text(text),
            Value::Whole(number) => types::Value::Whole(number),
            Value::Real(number) => types::Value::Real(number),
            Value::Truth(truth) => types::Value::Truth(truth),
            Value::Moment(moment) => types::Value::Moment(moment.into_text()),
            Value::Reference(reference) => types::Value::Reference(reference.0),
            Value::Texts(texts) => types::Value::Texts(texts),
            Value::References(references) => {
                types::Value::References(references.into_iter().map(|reference| reference.0).collect())
            }
            Value::Pairs(pairs) => types::Value::Pairs(pairs),
            Value::Json(json) => types::Value::Json(json),
        }
    }
}
