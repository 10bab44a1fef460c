//! What people did to the journal and the daemon: who, when, what, and why. Kept for good.

use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::events::bounded;

/// Who does something, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct By {
    /// The person's name, as far as the system knows it.
    pub who: String,
    /// Why, in that person's words; may be empty.
    pub reason: String,
    /// When, in microseconds since 1970 UTC.
    pub at_micros: i64,
}

/// Something that a person did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its number, rising.
    pub id: u64,
    /// Who did it, when and why.
    pub by: By,
    /// What was done.
    pub verb: String,
    /// To what.
    pub subject: String,
}

pub(crate) fn record(connection: &Connection, by: &By, verb: &str, subject: &str) -> Result<(), Fault> {
    let By { who, reason, at_micros } = by;
    connection
        .prepare_cached(
            "INSERT INTO action (at_micros, who, verb, subject, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![at_micros, who, verb, subject, reason])?;
    Ok(())
}

/// The newest actions, newest first.
pub(crate) fn newest(connection: &Connection, limit: usize) -> Result<Vec<Action>, Fault> {
    let mut select = connection.prepare_cached(
        "SELECT id, at_micros, who, verb, subject, reason FROM action ORDER BY id DESC LIMIT ?1",
    )?;
    let actions = select.query_map([bounded(limit as u64)], |row| {
        Ok(Action {
            id: row.get(0)?,
            by: By { at_micros: row.get(1)?, who: row.get(2)?, reason: row.get(5)? },
            verb: row.get(3)?,
            subject: row.get(4)?,
        })
    })?;
    Ok(actions.collect::<rusqlite::Result<_>>()?)
}
