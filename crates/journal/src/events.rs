//! Events, the objects they changed and the position they came with: written together, read in order.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::Fault;

/// What came from a pool in one piece. Its events, object changes and position are written all or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Append {
    /// The pool's name.
    pub pool: String,
    /// Where in the pool's own stream the caller is after this piece; replaces the position before.
    pub position: String,
    /// The events, in the order in which they are to be numbered. May be empty.
    pub events: Vec<NewEvent>,
    /// What changed in the picture of the pool, applied in this order. May be empty.
    pub objects: Vec<ObjectChange>,
}

/// An event that has no number yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// What kind of event it is.
    pub kind: String,
    /// The class of the object that it is about; may be empty.
    pub class: String,
    /// The reference of the object that it is about; may be empty.
    pub reference: String,
    /// When it happened, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// Everything else about it.
    pub payload: String,
}

/// One change in the picture of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectChange {
    /// The object is there, with this payload; what was kept of it before is replaced.
    Put {
        /// The object's class.
        class: String,
        /// The object's reference.
        reference: String,
        /// The object as last seen.
        payload: String,
    },
    /// The object is gone. One that was not there is no error.
    Delete {
        /// The object's class.
        class: String,
        /// The object's reference.
        reference: String,
    },
}

/// An event in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number: 1 for the first, then one more each time, over all pools.
    pub sequence: u64,
    /// The pool that it came from.
    pub pool: String,
    /// What kind of event it is.
    pub kind: String,
    /// The class of the object that it is about; may be empty.
    pub class: String,
    /// The reference of the object that it is about; may be empty.
    pub reference: String,
    /// When it happened, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// Everything else about it.
    pub payload: String,
}

/// An object of a pool as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its class.
    pub class: String,
    /// Its reference.
    pub reference: String,
    /// What was kept of it.
    pub payload: String,
}

/// Which events a listing is about. Without anything said: the newest of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those after this number, and of them the oldest; otherwise the newest.
    pub after: Option<u64>,
    /// Only those of this pool.
    pub pool: Option<String>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// Only those about objects of this class, in any case of its letters.
    pub class: Option<String>,
    /// Only those about this object.
    pub reference: Option<String>,
}

const SELECT: &str = "SELECT sequence, pool, kind, class, reference, at_micros, payload FROM event";

pub(crate) fn append(connection: &Connection, append: &Append) -> Result<Range<u64>, Fault> {
    connection
        .prepare_cached(
            "INSERT INTO pool (name, position) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET position = excluded.position",
        )?
        .execute(params![append.pool, append.position])?;

    let numbers = insert(connection, &append.pool, &append.events)?;
    for change in &append.objects {
        apply(connection, &append.pool, change)?;
    }
    Ok(numbers)
}

/// Numbers and writes events of a pool that is there.
pub(crate) fn insert(connection: &Connection, pool: &str, events: &[NewEvent]) -> Result<Range<u64>, Fault> {
    let last: u64 = connection
        .prepare_cached("UPDATE tail SET sequence = sequence + ?1 RETURNING sequence")?
        .query_row([events.len() as u64], |row| row.get(0))?;
    let first = last + 1 - events.len() as u64;

    let mut insert = connection.prepare_cached(
        "INSERT INTO event (sequence, pool, kind, class, reference, at_micros, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for (sequence, event) in (first..).zip(events) {
        let NewEvent { kind, class, reference, at_micros, payload } = event;
        insert.execute(params![sequence, pool, kind, class, reference, at_micros, payload])?;
    }
    Ok(first..last + 1)
}

fn apply(connection: &Connection, pool: &str, change: &ObjectChange) -> rusqlite::Result<()> {
    match change {
        ObjectChange::Put { class, reference, payload } => connection
            .prepare_cached(
                "INSERT INTO object (pool, class, reference, payload) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (pool, class, reference) DO UPDATE SET payload = excluded.payload",
            )?
            .execute(params![pool, class, reference, payload])?,
        ObjectChange::Delete { class, reference } => connection
            .prepare_cached("DELETE FROM object WHERE pool = ?1 AND class = ?2 AND reference = ?3")?
            .execute(params![pool, class, reference])?,
    };
    Ok(())
}

/// The number of the last event, 0 if there is none.
pub(crate) fn last(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT sequence FROM tail")?.query_row([], |row| row.get(0))
}

pub(crate) fn position(connection: &Connection, pool: &str) -> Result<Option<String>, Fault> {
    let mut select = connection.prepare_cached("SELECT position FROM pool WHERE name = ?1")?;
    Ok(select.query_row([pool], |row| row.get(0)).optional()?)
}

pub(crate) fn pools(connection: &Connection) -> Result<Vec<String>, Fault> {
    let mut select = connection.prepare_cached("SELECT name FROM pool ORDER BY name")?;
    let names = select.query_map([], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn objects(
    connection: &Connection,
    pool: &str,
    after: Option<(&str, &str)>,
    limit: usize,
) -> Result<Vec<StoredObject>, Fault> {
    let limit = bounded(limit as u64);
    let object =
        |row: &Row<'_>| Ok(StoredObject { class: row.get(0)?, reference: row.get(1)?, payload: row.get(2)? });
    let objects = match after {
        None => connection
            .prepare_cached(
                "SELECT class, reference, payload FROM object
                 WHERE pool = ?1 ORDER BY class, reference LIMIT ?2",
            )?
            .query_map(params![pool, limit], object)?
            .collect::<rusqlite::Result<_>>()?,
        Some((class, reference)) => connection
            .prepare_cached(
                "SELECT class, reference, payload FROM object
                 WHERE pool = ?1 AND (class, reference) > (?2, ?3) ORDER BY class, reference LIMIT ?4",
            )?
            .query_map(params![pool, class, reference, limit], object)?
            .collect::<rusqlite::Result<_>>()?,
    };
    Ok(objects)
}

pub(crate) fn read(connection: &Connection, after: u64, limit: usize) -> Result<Vec<StoredEvent>, Fault> {
    let mut select =
        connection.prepare_cached(&format!("{SELECT} WHERE sequence > ?1 ORDER BY sequence LIMIT ?2"))?;
    let rows = select.query_map([bounded(after), bounded(limit as u64)], stored)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The events that a filter lets through, in order.
pub(crate) fn filtered(
    connection: &Connection,
    filter: &EventFilter,
    limit: usize,
) -> Result<Vec<StoredEvent>, Fault> {
    let EventFilter { after, pool, kind, class, reference } = filter;
    let order = if after.is_some() { "ASC" } else { "DESC" };
    let mut select = connection.prepare_cached(&format!(
        "{SELECT} WHERE sequence > ?1 AND (?2 IS NULL OR pool = ?2) AND (?3 IS NULL OR kind = ?3)
         AND (?4 IS NULL OR class = ?4 COLLATE NOCASE) AND (?5 IS NULL OR reference = ?5)
         ORDER BY sequence {order} LIMIT ?6"
    ))?;
    let after = bounded(after.unwrap_or_default());
    let rows =
        select.query_map(params![after, pool, kind, class, reference, bounded(limit as u64)], stored)?;
    let mut found: Vec<StoredEvent> = rows.collect::<rusqlite::Result<_>>()?;
    if filter.after.is_none() {
        found.reverse();
    }
    Ok(found)
}

pub(crate) fn event(connection: &Connection, sequence: u64) -> Result<Option<StoredEvent>, Fault> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE sequence = ?1"))?;
    Ok(select.query_row([bounded(sequence)], stored).optional()?)
}

/// The nearest number that SQLite can hold. No event and no count comes near its end, so a bound beyond it and the
/// last number it can hold select the same rows.
pub(crate) fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        sequence: row.get(0)?,
        pool: row.get(1)?,
        kind: row.get(2)?,
        class: row.get(3)?,
        reference: row.get(4)?,
        at_micros: row.get(5)?,
        payload: row.get(6)?,
    })
}
