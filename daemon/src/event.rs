//! What the daemon tells its plugins of a pool, and its form in the journal: JSON text that an administrator can
//! read with `sqlite3`, and that reads back as the same event.
//!
//! A change is stored with its new record and only those old values that differ; the old record is put together from
//! both.

use std::sync::Arc;

use jiff::Timestamp;
use smol_str::SmolStr;
use xapi::codec::{DecodeError, Limits, json};
use xapi::events::{Alert, Change, Ending, Event, Operation, Origin, Resync, TaskOutcome};
use xapi::model::Record;
use xapi::{Failure, Struct, Value};

use crate::cause::Cause;

/// One event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PoolEvent {
    /// Its number.
    pub(crate) sequence: u64,
    /// The pool's name in the config.
    pub(crate) pool: SmolStr,
    /// When we learned of it.
    pub(crate) at: Timestamp,
    /// What happened.
    pub(crate) told: Told,
    /// The delivery that it goes back to, where it is one of ours.
    pub(crate) cause: Option<Cause>,
}

/// What happened in a pool, or to our connection to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// By the pool's event stream.
    Stream(Event),
    /// By the clock.
    Tick(Tick),
    /// By the connection.
    Connection(Connection),
}

/// A schedule of a plugin is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tick {
    /// The plugin that it wakes.
    pub(crate) plugin: SmolStr,
    /// The manifest's name of the subscription.
    pub(crate) schedule: SmolStr,
    /// When it was due.
    pub(crate) due: Timestamp,
    /// Told long after that: the daemon did not run.
    pub(crate) late: bool,
    /// It was due before that too, which is not told.
    pub(crate) folded: bool,
    /// PLUGIN/SCHEDULE.
    pub(crate) reference: SmolStr,
}

impl Tick {
    /// A tick with its reference.
    pub(crate) fn new(plugin: &str, schedule: &str, due: Timestamp, late: bool, folded: bool) -> Tick {
        let reference = format!("{plugin}/{schedule}").into();
        Tick { plugin: plugin.into(), schedule: schedule.into(), due, late, folded, reference }
    }
}

/// What became of the connection to a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Connection {
    /// A session is open.
    Connected {
        /// Where.
        endpoint: String,
    },
    /// It is gone.
    Lost {
        /// Why.
        why: String,
    },
    /// The coordinator is another member now.
    Moved {
        /// Where.
        endpoint: String,
    },
}

impl Told {
    /// The journal's word for its kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Told::Stream(Event::Change(_)) => "change",
            Told::Stream(Event::Task(_)) => "task",
            Told::Stream(Event::Alert(_)) => "alert",
            Told::Stream(Event::Resync(_)) => "resync",
            Told::Tick(_) => "tick",
            Told::Connection(_) => "connection",
        }
    }

    /// The class of the object that it is about; empty where it is about none.
    pub(crate) fn class(&self) -> &str {
        match self {
            Told::Stream(Event::Change(change)) => &change.class,
            Told::Stream(Event::Task(_)) => "task",
            Told::Stream(Event::Alert(_)) => "message",
            Told::Stream(Event::Resync(_)) | Told::Tick(_) | Told::Connection(_) => "",
        }
    }

    /// The reference of the object that it is about; empty where it is about none.
    pub(crate) fn reference(&self) -> &str {
        match self {
            Told::Stream(Event::Change(change)) => &change.reference,
            Told::Stream(Event::Task(task)) => &task.reference,
            Told::Stream(Event::Alert(alert)) => &alert.reference,
            Told::Tick(tick) => &tick.reference,
            Told::Stream(Event::Resync(_)) | Told::Connection(_) => "",
        }
    }

    /// The stored form, with the delivery that it goes back to.
    pub(crate) fn to_json(&self, cause: Option<&Cause>) -> String {
        let mut out = Struct::new();
        match self {
            Told::Stream(Event::Change(change)) => write_change(&mut out, change),
            Told::Stream(Event::Task(task)) => write_task(&mut out, task),
            Told::Stream(Event::Alert(alert)) => write_alert(&mut out, alert),
            Told::Stream(Event::Resync(resync)) => {
                out.insert("first", resync.first);
                out.insert("objects", i64::try_from(resync.objects).unwrap_or(i64::MAX));
                out.insert("differences", i64::try_from(resync.differences).unwrap_or(i64::MAX));
                let begun = resync.begun.iter().map(|class| Value::String(class.clone()));
                out.insert("begun", begun.collect::<Vec<_>>());
            }
            Told::Tick(tick) => {
                out.insert("due", tick.due.to_string());
                out.insert("late", tick.late);
                out.insert("folded", tick.folded);
            }
            Told::Connection(connection) => {
                let (state, detail) = match connection {
                    Connection::Connected { endpoint } => ("connected", endpoint),
                    Connection::Lost { why } => ("lost", why),
                    Connection::Moved { endpoint } => ("moved", endpoint),
                };
                out.insert("state", state);
                out.insert("detail", detail.as_str());
            }
        }
        if let Some(Cause { plugin, sequence, chain }) = cause {
            let sequence = i64::try_from(*sequence).unwrap_or(i64::MAX);
            let cause: Struct = [
                ("plugin".into(), Value::String(plugin.clone())),
                ("sequence".into(), Value::Int(sequence)),
                ("chain".into(), Value::Int(i64::from(*chain))),
            ]
            .into_iter()
            .collect();
            out.insert("caused_by", cause);
        }
        json::encode_value(&Value::Struct(out))
    }

    /// Reads the stored form back.
    pub(crate) fn from_json(
        kind: &str,
        class: &str,
        reference: &str,
        text: &str,
    ) -> Result<(Told, Option<Cause>), StoredError> {
        let Value::Struct(mut stored) = json::decode_value(text.as_bytes(), &Limits::default())? else {
            return Err(StoredError::Lacks("object"));
        };
        let cause = stored.remove("caused_by").map(read_cause).transpose()?;
        let told = match kind {
            "change" => Told::Stream(Event::Change(read_change(class, reference, stored)?)),
            "task" => Told::Stream(Event::Task(read_task(reference, stored)?)),
            "alert" => Told::Stream(Event::Alert(read_alert(reference, stored)?)),
            "resync" => {
                let number = |name| stored.get(name).and_then(Value::as_int).ok_or(StoredError::Lacks(name));
                Told::Stream(Event::Resync(Resync {
                    first: stored.get("first").and_then(Value::as_bool).ok_or(StoredError::Lacks("first"))?,
                    objects: usize::try_from(number("objects")?).unwrap_or_default(),
                    differences: usize::try_from(number("differences")?).unwrap_or_default(),
                    begun: stored
                        .get("begun")
                        .and_then(Value::as_array)
                        .ok_or(StoredError::Lacks("begun"))?
                        .iter()
                        .filter_map(Value::as_str)
                        .map(SmolStr::new)
                        .collect(),
                }))
            }
            "tick" => Told::Tick(read_tick(reference, &stored)?),
            "connection" => {
                let detail = take_text(&mut stored, "detail")?.to_string();
                Told::Connection(match &*take_text(&mut stored, "state")? {
                    "connected" => Connection::Connected { endpoint: detail },
                    "lost" => Connection::Lost { why: detail },
                    "moved" => Connection::Moved { endpoint: detail },
                    _ => return Err(StoredError::Lacks("state")),
                })
            }
            _ => return Err(StoredError::Lacks("kind")),
        };
        Ok((told, cause))
    }
}

fn read_cause(stored: Value) -> Result<Cause, StoredError> {
    let Value::Struct(mut stored) = stored else { return Err(StoredError::Lacks("caused_by")) };
    let plugin = take_text(&mut stored, "plugin")?;
    let number = |name| stored.get(name).and_then(Value::as_int).ok_or(StoredError::Lacks(name));
    Ok(Cause {
        plugin,
        sequence: u64::try_from(number("sequence")?).map_err(|_| StoredError::Lacks("sequence"))?,
        chain: u32::try_from(number("chain")?).map_err(|_| StoredError::Lacks("chain"))?,
    })
}

/// Why a stored event or record cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoredError {
    /// No JSON.
    #[error("the stored text is damaged")]
    Text(#[from] DecodeError),
    /// A part is missing.
    #[error("the stored text has no usable {0}")]
    Lacks(&'static str),
}

/// A record's stored form: its fields.
pub(crate) fn record_to_json(record: &Record) -> String {
    json::encode_value(&Value::Struct(record.to_struct()))
}

/// Reads a record back.
pub(crate) fn record_from_json(class: &str, reference: &str, text: &str) -> Result<Record, StoredError> {
    match json::decode_value(text.as_bytes(), &Limits::default())? {
        Value::Struct(fields) => Ok(Record::new(class, reference, fields)),
        _ => Err(StoredError::Lacks("object")),
    }
}

fn write_change(out: &mut Struct, change: &Change) {
    out.insert("operation", change.operation.name());
    out.insert("uuid", change.uuid().unwrap_or_default());
    out.insert("origin", origin_word(change.origin));
    out.insert("gap", change.gap);
    out.insert("generation", change.generation);
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            let changed = change.changed.iter().map(|name| Value::String(name.clone())).collect::<Vec<_>>();
            let was = change.changed.iter().filter_map(|name| Some((name.clone(), old.get(name)?.clone())));
            out.insert("changed", changed);
            out.insert("was", was.collect::<Struct>());
            out.insert("record", new.to_struct());
        }
        (None, Some(record)) | (Some(record), None) => {
            out.insert("record", record.to_struct());
        }
        (None, None) => {}
    }
}

fn read_change(class: &str, reference: &str, mut stored: Struct) -> Result<Change, StoredError> {
    let operation = match &*take_text(&mut stored, "operation")? {
        "added" => Operation::Added,
        "modified" => Operation::Modified,
        "deleted" => Operation::Deleted,
        _ => return Err(StoredError::Lacks("operation")),
    };
    let record = Arc::new(Record::new(class, reference, take_struct(&mut stored, "record")?));
    let mut changed = Vec::new();
    let (old, new) = match operation {
        Operation::Added => (None, Some(record)),
        Operation::Deleted => (Some(record), None),
        Operation::Modified => {
            let names =
                stored.get("changed").and_then(Value::as_array).ok_or(StoredError::Lacks("changed"))?;
            changed = names.iter().filter_map(Value::as_str).map(SmolStr::new).collect();
            let was = Record::new(class, reference, take_struct(&mut stored, "was")?);
            let mut old = Record::clone(&record);
            for name in &changed {
                match was.get(name) {
                    Some(value) => _ = old.set(name, value.clone()),
                    None => _ = old.remove(name),
                }
            }
            (Some(Arc::new(old)), Some(record))
        }
    };
    Ok(Change {
        class: class.into(),
        reference: reference.into(),
        operation,
        old,
        new,
        changed,
        generation: stored.get("generation").and_then(Value::as_int).unwrap_or_default(),
        origin: read_origin(&stored),
        gap: stored.get("gap").and_then(Value::as_bool).unwrap_or_default(),
    })
}

fn write_task(out: &mut Struct, task: &TaskOutcome) {
    out.insert("uuid", task.uuid.clone());
    out.insert("name", task.name.clone());
    out.insert("origin", origin_word(task.origin));
    out.insert("gap", task.gap);
    out.insert("other_config", task.other_config.clone());
    match &task.ending {
        Ending::Succeeded(value) => {
            out.insert("ending", "succeeded");
            out.insert("result", value.clone());
        }
        Ending::Failed(failure) => {
            let words = std::iter::once(&failure.code).chain(&failure.parameters);
            out.insert("ending", "failed");
            out.insert("error", words.map(|word| Value::String(word.clone())).collect::<Vec<_>>());
        }
        Ending::Cancelled => _ = out.insert("ending", "cancelled"),
        Ending::Lost => _ = out.insert("ending", "lost"),
    }
}

fn read_task(reference: &str, mut stored: Struct) -> Result<TaskOutcome, StoredError> {
    let ending = match &*take_text(&mut stored, "ending")? {
        "succeeded" => Ending::Succeeded(stored.remove("result").ok_or(StoredError::Lacks("result"))?),
        "failed" => {
            let words = stored.get("error").and_then(Value::as_array).ok_or(StoredError::Lacks("error"))?;
            let mut words = words.iter().filter_map(Value::as_str);
            Ending::Failed(Failure::new(words.next().unwrap_or_default(), words))
        }
        "cancelled" => Ending::Cancelled,
        "lost" => Ending::Lost,
        _ => return Err(StoredError::Lacks("ending")),
    };
    Ok(TaskOutcome {
        reference: reference.into(),
        uuid: take_text(&mut stored, "uuid")?,
        name: take_text(&mut stored, "name")?,
        ending,
        other_config: take_struct(&mut stored, "other_config")?,
        origin: read_origin(&stored),
        gap: stored.get("gap").and_then(Value::as_bool).unwrap_or_default(),
    })
}

fn write_alert(out: &mut Struct, alert: &Alert) {
    for (name, text) in [
        ("uuid", &alert.uuid),
        ("name", &alert.name),
        ("cls", &alert.class),
        ("obj_uuid", &alert.object),
        ("timestamp", &alert.timestamp),
        ("body", &alert.body.text),
    ] {
        out.insert(name, text.clone());
    }
    out.insert("priority", i64::from(alert.priority));
    out.insert("origin", origin_word(alert.origin));
}

fn read_alert(reference: &str, stored: Struct) -> Result<Alert, StoredError> {
    let origin = read_origin(&stored);
    if stored.get("name").is_none() {
        return Err(StoredError::Lacks("name"));
    }
    Ok(Alert::of(&Record::new("message", reference, stored), origin))
}

fn read_tick(reference: &str, stored: &Struct) -> Result<Tick, StoredError> {
    let (plugin, schedule) = reference.split_once('/').ok_or(StoredError::Lacks("reference"))?;
    let due = stored.get("due").and_then(Value::as_str).and_then(|due| due.parse().ok());
    let truth = |name| stored.get(name).and_then(Value::as_bool).ok_or(StoredError::Lacks(name));
    let due = due.ok_or(StoredError::Lacks("due"))?;
    Ok(Tick::new(plugin, schedule, due, truth("late")?, truth("folded")?))
}

fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Live => "live",
        Origin::Resync => "resync",
    }
}

fn read_origin(stored: &Struct) -> Origin {
    match stored.get("origin").and_then(Value::as_str) {
        Some("live") => Origin::Live,
        _ => Origin::Resync,
    }
}

fn take_text(stored: &mut Struct, name: &'static str) -> Result<SmolStr, StoredError> {
    match stored.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(StoredError::Lacks(name)),
    }
}

fn take_struct(stored: &mut Struct, name: &'static str) -> Result<Struct, StoredError> {
    match stored.remove(name) {
        Some(Value::Struct(members)) => Ok(members),
        _ => Err(StoredError::Lacks(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &[(&str, Value)]) -> Arc<Record> {
        let fields = fields.iter().map(|(name, value)| (SmolStr::new(name), value.clone())).collect();
        Arc::new(Record::new("VM", "OpaqueRef:1", fields))
    }

    fn survives(told: &Told) {
        for cause in [None, Some(Cause { plugin: "p".into(), sequence: 7, chain: 3 })] {
            let text = told.to_json(cause.as_ref());
            let read = Told::from_json(told.kind(), told.class(), told.reference(), &text);
            assert_eq!(read.unwrap(), (told.clone(), cause), "{text}");
        }
    }

    #[test]
    fn every_kind_of_event_reads_back_as_it_was() {
        let old = record(&[("uuid", "u".into()), ("memory_target", Value::Int(5)), ("gone", "x".into())]);
        let new = record(&[("uuid", "u".into()), ("memory_target", Value::Int(7)), ("new", "y".into())]);
        let change = |operation, old: Option<&Arc<Record>>, new: Option<&Arc<Record>>, changed: &[&str]| {
            Told::Stream(Event::Change(Change {
                class: "VM".into(),
                reference: "OpaqueRef:1".into(),
                operation,
                old: old.cloned(),
                new: new.cloned(),
                changed: changed.iter().map(SmolStr::new).collect(),
                generation: 42,
                origin: Origin::Live,
                gap: true,
            }))
        };
        survives(&change(Operation::Added, None, Some(&new), &[]));
        survives(&change(Operation::Deleted, Some(&old), None, &[]));
        survives(&change(Operation::Modified, Some(&old), Some(&new), &["memory_target", "new", "gone"]));
        for ending in [
            Ending::Succeeded("OpaqueRef:x".into()),
            Ending::Failed(Failure::new("VM_BAD_POWER_STATE", ["a", "halted"])),
            Ending::Cancelled,
            Ending::Lost,
        ] {
            survives(&Told::Stream(Event::Task(TaskOutcome {
                reference: "OpaqueRef:t".into(),
                uuid: "t".into(),
                name: "Async.VM.start".into(),
                ending,
                other_config: Struct::new(),
                origin: Origin::Resync,
                gap: false,
            })));
        }
        let begun = vec!["SR".into()];
        survives(&Told::Stream(Event::Resync(Resync { first: true, objects: 700, differences: 3, begun })));
        let message: Struct = [
            ("uuid", Value::from("u")),
            ("name", "HA_HOST_FAILED".into()),
            ("priority", 1.into()),
            ("cls", "Host".into()),
            ("obj_uuid", "h".into()),
            ("timestamp", "20260821T02:00:23Z".into()),
            ("body", "host: a".into()),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect();
        let message = Record::new("message", "OpaqueRef:m", message);
        survives(&Told::Stream(Event::Alert(Alert::of(&message, Origin::Live))));
        let due = "2026-11-24T03:00:00Z".parse().unwrap();
        survives(&Told::Tick(Tick::new("p", "night/first", due, true, false)));
        survives(&Told::Connection(Connection::Connected { endpoint: "https://h:443".into() }));
        survives(&Told::Connection(Connection::Lost { why: "gone".into() }));
        survives(&Told::Connection(Connection::Moved { endpoint: "https://i:443".into() }));
    }

    #[test]
    fn damaged_text_is_an_error() {
        for text in ["", "[]", "{}", "{\"operation\":\"added\"}", "{\"operation\":\"odd\",\"record\":{}}"] {
            assert!(Told::from_json("change", "VM", "r", text).is_err(), "{text}");
        }
    }
}
