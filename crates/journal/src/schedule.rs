//! When the schedules of plugins were last due. Written together with the event that tells of it, so that a restart
//! neither tells one twice nor forgets one.

use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::events::{self, NewEvent};

/// A schedule of one plugin for one pool, and when it was last due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// The pool's name.
    pub pool: String,
    /// The plugin's name.
    pub plugin: String,
    /// The schedule's name.
    pub name: String,
    /// What the schedule is, in the caller's words; where it differs, it is another one.
    pub pattern: String,
    /// When it was last due, in microseconds since 1970 UTC; at first, since when it is looked at.
    pub due_micros: i64,
}

/// Notes when a schedule was last due, with the event that tells of it, and gives the event's number.
pub(crate) fn note(
    connection: &Connection,
    scheduled: &Scheduled,
    event: Option<&NewEvent>,
) -> Result<Option<u64>, Fault> {
    let Scheduled { pool, plugin, name, pattern, due_micros } = scheduled;
    connection
        .prepare_cached(
            "INSERT INTO schedule (pool, plugin, name, pattern, due_micros) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (pool, plugin, name)
             DO UPDATE SET pattern = excluded.pattern, due_micros = excluded.due_micros",
        )?
        .execute(params![pool, plugin, name, pattern, due_micros])?;
    let Some(event) = event else { return Ok(None) };
    // A pool that was never reached has no position yet.
    connection
        .prepare_cached("INSERT INTO pool (name, position) VALUES (?1, '') ON CONFLICT (name) DO NOTHING")?
        .execute([pool])?;
    let numbers = events::insert(connection, pool, std::slice::from_ref(event))?;
    Ok(Some(numbers.start))
}

/// All schedules that were ever noted.
pub(crate) fn all(connection: &Connection) -> Result<Vec<Scheduled>, Fault> {
    let mut select = connection.prepare_cached(
        "SELECT pool, plugin, name, pattern, due_micros FROM schedule ORDER BY pool, plugin, name",
    )?;
    let rows = select.query_map([], |row| {
        Ok(Scheduled {
            pool: row.get(0)?,
            plugin: row.get(1)?,
            name: row.get(2)?,
            pattern: row.get(3)?,
            due_micros: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
