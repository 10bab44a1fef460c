//! The journal as an administrator sees it: read only, with SQLite's own means, whether or not a daemon has it open.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use smol_str::SmolStr;
use xapi::codec::{Limits, json};
use xapi::model::Record;
use xapi::{Struct, Value};

/// The journal of the pool `lab`.
#[derive(Debug)]
pub struct Stored {
    connection: Connection,
}

/// One event that tells a change of an object.
#[derive(Debug, Clone)]
pub struct StoredChange {
    /// Its number.
    pub sequence: u64,
    /// `added`, `modified` or `deleted`.
    pub operation: SmolStr,
    /// Before, put together from the record and the values that it had; `None` when it was added.
    pub old: Option<Record>,
    /// After; `None` when it was deleted.
    pub new: Option<Record>,
    /// Names of the fields that differ.
    pub changed: Vec<SmolStr>,
    /// Whether changes may have been missed before.
    pub gap: bool,
    /// The delivery that it goes back to, `PLUGIN/SEQUENCE`, and how many in a row led to it.
    pub caused_by: Option<(String, i64)>,
}

/// A call that changes something, as it was recorded before it was sent.
#[derive(Debug, Clone)]
pub struct StoredEffect {
    /// Who called.
    pub plugin: String,
    /// The event that it was dealing with.
    pub sequence: u64,
    /// The attempt, from 1.
    pub attempt: u64,
    /// The place among the calls of the attempt, from 0.
    pub index: u64,
    /// What was called.
    pub method: String,
    /// With what, as JSON.
    pub arguments: String,
    /// How it went, in one word: `started`, `succeeded`, `failed`, `not sent`, `in doubt`; `None` when that was never
    /// recorded.
    pub outcome: Option<String>,
}

impl StoredEffect {
    /// Whether the pool said that it did it, or that it began to.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.outcome.as_deref(), Some("started" | "succeeded"))
    }
}

/// Takes the outcomes of all recorded calls away, as if the daemon had been killed before it recorded them. None may be
/// running.
///
/// # Panics
/// When the journal cannot be changed.
pub fn forget_outcomes(folder: &Path) {
    let connection = Connection::open(folder.join("journal.db")).expect("the journal can be opened");
    let forget = "UPDATE effect SET outcome = NULL, concluded_at_micros = NULL";
    connection.execute(forget, ()).expect("the journal can be changed");
}

/// Puts a hand into the file. No daemon may be running.
///
/// # Panics
/// When the journal cannot be changed so.
pub fn meddle(folder: &Path, sql: &str) {
    let connection = Connection::open(folder.join("journal.db")).expect("the journal can be opened");
    connection.execute_batch(sql).expect("the journal can be changed");
}

/// Takes back when schedules were last due, as if the daemon had not run for so long. None may be running.
///
/// # Panics
/// When the journal cannot be changed, or has no schedule.
pub fn set_schedules_back(folder: &Path, by: Duration) {
    let connection = Connection::open(folder.join("journal.db")).expect("the journal can be opened");
    let micros = i64::try_from(by.as_micros()).expect("it is not that long");
    let back = "UPDATE schedule SET due_micros = due_micros - ?1";
    let changed = connection.execute(back, [micros]).expect("the journal can be changed");
    assert!(changed > 0, "the journal has schedules");
}

impl Stored {
    /// Opens the journal in a folder. The file must be there.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn open(folder: &Path) -> Stored {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(folder.join("journal.db"), flags);
        let connection = connection.expect("the journal can be opened");
        let patience = connection.busy_timeout(std::time::Duration::from_secs(10));
        patience.expect("a connection can be told to wait");
        Stored { connection }
    }

    /// The classes that are followed, as the position tells them; none before the first picture.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn followed(&self) -> Vec<String> {
        let position = self.texts("SELECT position FROM pool WHERE name = 'lab'");
        let classes = position.first().and_then(|row| row[0].split(' ').nth(1).map(str::to_owned));
        let named = classes.iter().flat_map(|classes| classes.split(',')).filter(|class| !class.is_empty());
        named.map(str::to_owned).collect()
    }

    /// The pool's objects as last seen.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn objects(&self) -> Vec<Record> {
        let rows = self.texts("SELECT class, reference, payload FROM object WHERE pool = 'lab'");
        rows.iter().map(|row| record(&row[0], &row[1], &row[2])).collect()
    }

    /// One object as last seen.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn object(&self, class: &str, reference: &str) -> Option<Record> {
        let row = self.connection.query_row(
            "SELECT payload FROM object WHERE pool = 'lab' AND class = ?1 AND reference = ?2",
            [class, reference],
            |row| row.get::<_, String>(0),
        );
        let payload = row.optional().expect("an object can be read")?;
        Some(record(class, reference, &payload))
    }

    /// The number of the last event.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.number("SELECT sequence FROM tail")
    }

    /// How many events there are of a kind (`change`, `task`, `resync`, `connection`).
    ///
    /// # Panics
    /// When they cannot be counted.
    #[must_use]
    pub fn count(&self, kind: &str) -> u64 {
        let counted =
            self.connection.query_row("SELECT count(*) FROM event WHERE kind = ?1", [kind], |row| row.get(0));
        counted.expect("events can be counted")
    }

    /// The smallest and the largest number of an event, and how many events there are.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn span(&self) -> (u64, u64, u64) {
        let sql = "SELECT coalesce(min(sequence), 0), coalesce(max(sequence), 0), count(*) FROM event";
        let row = self.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        row.expect("events can be counted")
    }

    /// All changes of objects, in order.
    ///
    /// # Panics
    /// When one cannot be read.
    #[must_use]
    pub fn changes(&self) -> Vec<StoredChange> {
        let rows = self.texts(
            "SELECT class, reference, payload, cast(sequence AS text) FROM event WHERE kind = 'change' ORDER BY sequence",
        );
        rows.iter().map(|row| change(&row[0], &row[1], &row[2], &row[3])).collect()
    }

    /// The changes of one object, in order.
    ///
    /// # Panics
    /// When one cannot be read.
    #[must_use]
    pub fn changes_of(&self, class: &str, reference: &str) -> Vec<StoredChange> {
        let of = |record: &Option<Record>| {
            record.as_ref().is_some_and(|record| record.class == class && record.reference == reference)
        };
        self.changes().into_iter().filter(|change| of(&change.new) || of(&change.old)).collect()
    }

    /// The stored texts of all events of a kind, in order, with their numbers.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn payloads(&self, kind: &str) -> Vec<(u64, Struct)> {
        let sql = "SELECT cast(sequence AS text), payload FROM event WHERE kind = '";
        let rows = self.texts(&format!("{sql}{kind}' ORDER BY sequence"));
        rows.iter().map(|row| (row[0].parse().expect("a number is a number"), fields(&row[1]))).collect()
    }

    /// The reference of the object that an event is about; empty where it is about none.
    ///
    /// # Panics
    /// When there is no such event.
    #[must_use]
    pub fn reference(&self, sequence: u64) -> String {
        let sql = "SELECT reference FROM event WHERE sequence = ?1";
        self.connection.query_row(sql, [sequence], |row| row.get(0)).expect("there is such an event")
    }

    /// The plugin's cursor, once it has one.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn cursor(&self, plugin: &str) -> Option<u64> {
        let row = self
            .connection
            .query_row("SELECT cursor FROM plugin WHERE name = ?1", [plugin], |row| row.get(0));
        row.optional().expect("a cursor can be read")
    }

    /// Deliveries that were started and have not ended, as `plugin sequence attempt state why`.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn open_deliveries(&self) -> Vec<String> {
        let rows = self.texts(
            "SELECT plugin, cast(sequence AS text), cast(attempt AS text), state, coalesce(why, '') FROM delivery
             WHERE state <> 'settled' ORDER BY sequence",
        );
        rows.iter().map(|row| row.join(" ")).collect()
    }

    /// What plugins called, as method, arguments and outcome, in order; an outcome that is not known is empty.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn effects(&self, sequence: u64) -> Vec<[String; 3]> {
        let sql = "SELECT method, arguments, coalesce(outcome, '') FROM effect WHERE sequence = ";
        let rows = self.texts(&format!("{sql}{sequence} ORDER BY id"));
        rows.into_iter().map(|row| [row[0].clone(), row[1].clone(), row[2].clone()]).collect()
    }

    /// Deliveries whose last attempt was begun and has no recorded end, as plugin, number of the event, and attempt.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn unfinished(&self) -> Vec<(String, u64, u64)> {
        let sql = "SELECT plugin, cast(sequence AS text), cast(attempt AS text) FROM delivery WHERE state = 'started'";
        let number = |text: &str| text.parse().expect("a number is a number");
        let rows = self.texts(sql).into_iter();
        rows.map(|row| (row[0].clone(), number(&row[1]), number(&row[2]))).collect()
    }

    /// Everything that all plugins called, in the order in which it was recorded.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn all_effects(&self) -> Vec<StoredEffect> {
        let rows = self.texts(
            "SELECT plugin, cast(sequence AS text), cast(attempt AS text), cast(call_index AS text), method, arguments,
             coalesce(outcome, '') FROM effect ORDER BY id",
        );
        rows.iter().map(|row| effect(row)).collect()
    }

    /// How many calls that change something a plugin was about to make.
    ///
    /// # Panics
    /// When they cannot be counted.
    #[must_use]
    pub fn effects_of(&self, plugin: &str) -> u64 {
        let sql = "SELECT count(*) FROM effect WHERE plugin = ?1";
        self.connection.query_row(sql, [plugin], |row| row.get(0)).expect("effects can be counted")
    }

    /// Dead letters, as plugin, number of the event, and why.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn dead(&self) -> Vec<(String, u64, String)> {
        let rows = self.texts("SELECT plugin, cast(sequence AS text), why FROM dead ORDER BY id");
        let number = |text: &str| text.parse().expect("a number is a number");
        rows.into_iter().map(|row| (row[0].clone(), number(&row[1]), row[2].clone())).collect()
    }

    /// What a plugin keeps under a key, as text.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn state(&self, plugin: &str, key: &str) -> Option<String> {
        let sql = "SELECT cast(value AS text) FROM state WHERE plugin = ?1 AND key = ?2";
        self.connection
            .query_row(sql, [plugin, key], |row| row.get(0))
            .optional()
            .expect("a state can be read")
    }

    fn number(&self, sql: &str) -> u64 {
        self.connection.query_row(sql, [], |row| row.get(0)).expect("a number can be read")
    }

    fn texts(&self, sql: &str) -> Vec<Vec<String>> {
        let mut select = self.connection.prepare(sql).expect("the journal has its tables");
        let columns = select.column_count();
        let rows = select.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
        let rows: rusqlite::Result<Vec<Vec<String>>> = rows.and_then(Iterator::collect);
        rows.expect("the journal can be read")
    }
}

fn change(class: &str, reference: &str, payload: &str, sequence: &str) -> StoredChange {
    let mut stored = fields(payload);
    let text =
        |stored: &Struct, name: &str| stored.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let operation = SmolStr::new(text(&stored, "operation"));
    let gap = stored.get("gap").and_then(Value::as_bool).unwrap_or_default();
    let names = stored.get("changed").and_then(Value::as_array).unwrap_or_default();
    let changed: Vec<SmolStr> = names.iter().filter_map(Value::as_str).map(SmolStr::new).collect();
    let caused_by = stored.get("caused_by").and_then(Value::as_struct).map(|cause| {
        let number = |name| cause.get(name).and_then(Value::as_int).unwrap_or_default();
        (format!("{}/{}", text(cause, "plugin"), number("sequence")), number("chain"))
    });
    let mut part = |name: &str| match stored.remove(name) {
        Some(Value::Struct(fields)) => Record::new(class, reference, fields),
        _ => Record::new(class, reference, Struct::new()),
    };
    let (record, was) = (part("record"), part("was"));
    let (old, new) = match operation.as_str() {
        "added" => (None, Some(record)),
        "deleted" => (Some(record), None),
        _ => {
            let mut old = record.clone();
            for name in &changed {
                match was.get(name) {
                    Some(value) => _ = old.set(name, value.clone()),
                    None => _ = old.remove(name),
                }
            }
            (Some(old), Some(record))
        }
    };
    StoredChange {
        sequence: sequence.parse().expect("a number is a number"),
        operation,
        old,
        new,
        changed,
        gap,
        caused_by,
    }
}

fn effect(row: &[String]) -> StoredEffect {
    let number = |text: &str| text.parse().expect("a number is a number");
    let outcome = (!row[6].is_empty()).then(|| {
        let stored = json::decode_value(row[6].as_bytes(), &Limits::default());
        let word = match &stored {
            Ok(Value::Array(parts)) => parts.first().and_then(Value::as_str),
            _ => None,
        };
        word.unwrap_or_else(|| panic!("an outcome begins with no word: {stored:?}")).to_owned()
    });
    StoredEffect {
        sequence: number(&row[1]),
        attempt: number(&row[2]),
        index: number(&row[3]),
        outcome,
        plugin: row[0].clone(),
        method: row[4].clone(),
        arguments: row[5].clone(),
    }
}

fn record(class: &str, reference: &str, payload: &str) -> Record {
    Record::new(class, reference, fields(payload))
}

fn fields(payload: &str) -> Struct {
    match json::decode_value(payload.as_bytes(), &Limits::default()) {
        Ok(Value::Struct(fields)) => fields,
        other => panic!("the journal holds something else than an object: {other:?}"),
    }
}
