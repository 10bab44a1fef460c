//! Dead letters: deliveries that were given up, kept until a person makes them come again or drops them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::actions::{self, By};
use crate::deliveries::Finish;
use crate::error::{Error, Fault};
use crate::events::bounded;

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its own number, rising in the order in which letters died.
    pub id: u64,
    /// The plugin that could not deal with the event.
    pub plugin: String,
    /// The event's number.
    pub sequence: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// Why.
    pub why: String,
    /// The last lines that the plugin logged, oldest first.
    pub log: Vec<String>,
}

const SELECT: &str = "SELECT id, plugin, sequence, attempts, at_micros, why FROM dead";

/// Keeps the delivery that has just ended.
pub(crate) fn bury(connection: &Connection, ended: &Finish, why: &str, log: &[String]) -> Result<(), Fault> {
    let Finish { plugin, sequence, attempt, at_micros, .. } = ended;
    connection
        .prepare_cached(
            "INSERT INTO dead (plugin, sequence, attempts, at_micros, why, cut_short)
             SELECT ?1, ?2, ?3, ?4, ?5, cut_short FROM delivery WHERE plugin = ?1 AND sequence = ?2",
        )?
        .execute(params![plugin, sequence, attempt, at_micros, why])?;
    let dead = connection.last_insert_rowid();
    let mut insert =
        connection.prepare_cached("INSERT INTO dead_log (dead, number, line) VALUES (?1, ?2, ?3)")?;
    for (number, line) in (1_i64..).zip(log) {
        insert.execute(params![dead, number, line])?;
    }
    Ok(())
}

/// The newest dead letters, newest first, of all plugins or of one.
pub(crate) fn newest(
    connection: &Connection,
    plugin: Option<&str>,
    limit: usize,
) -> Result<Vec<DeadLetter>, Fault> {
    let mut select = connection
        .prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR plugin = ?1 ORDER BY id DESC LIMIT ?2"))?;
    let letters = select.query_map(params![plugin, bounded(limit as u64)], bare)?;
    let letters: Vec<DeadLetter> = letters.collect::<rusqlite::Result<_>>()?;
    letters.into_iter().map(|letter| with_log(connection, letter)).collect()
}

pub(crate) fn by_id(connection: &Connection, id: u64) -> Result<Option<DeadLetter>, Fault> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    let letter = select.query_row([bounded(id)], bare).optional()?;
    letter.map(|letter| with_log(connection, letter)).transpose()
}

pub(crate) fn of_delivery(
    connection: &Connection,
    plugin: &str,
    sequence: u64,
) -> Result<Option<DeadLetter>, Fault> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE plugin = ?1 AND sequence = ?2"))?;
    let letter = select.query_row(params![plugin, bounded(sequence)], bare).optional()?;
    letter.map(|letter| with_log(connection, letter)).transpose()
}

/// How many dead letters each plugin has; plugins without any are not named.
pub(crate) fn counts(connection: &Connection) -> Result<Vec<(String, u64)>, Fault> {
    let mut select = connection.prepare_cached("SELECT plugin, count(*) FROM dead GROUP BY plugin")?;
    let counts = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(counts.collect::<rusqlite::Result<_>>()?)
}

/// Makes an open delivery of a dead letter again: due at once, its attempts and what they did known as before.
pub(crate) fn revive(connection: &Connection, id: u64, by: &By) -> Result<DeadLetter, Fault> {
    let letter = by_id(connection, id)?.ok_or(Error::UnknownDeadLetter { id })?;
    connection
        .prepare_cached(
            "INSERT INTO delivery (plugin, sequence, attempt, cut_short, state, not_before_micros, why)
             SELECT plugin, sequence, attempts, cut_short, 'retry', ?2, why FROM dead WHERE id = ?1
             ON CONFLICT (plugin, sequence) DO UPDATE SET
                 attempt = excluded.attempt, cut_short = excluded.cut_short, state = excluded.state,
                 not_before_micros = excluded.not_before_micros, why = excluded.why",
        )?
        .execute(params![bounded(id), by.at_micros])?;
    remove(connection, id)?;
    actions::record_about(connection, by, &letter.plugin, "dead retry", &words(&letter))?;
    Ok(letter)
}

/// Removes a dead letter for good.
pub(crate) fn discard(connection: &Connection, id: u64, by: &By) -> Result<DeadLetter, Fault> {
    let letter = by_id(connection, id)?.ok_or(Error::UnknownDeadLetter { id })?;
    remove(connection, id)?;
    actions::record_about(connection, by, &letter.plugin, "dead drop", &words(&letter))?;
    Ok(letter)
}

/// What an action keeps of a letter that is gone.
fn words(letter: &DeadLetter) -> String {
    let DeadLetter { id, plugin, sequence, attempts, why, .. } = letter;
    format!("dead letter {id}: event {sequence} for {plugin}, given up after attempt {attempts}: {why}")
}

fn remove(connection: &Connection, id: u64) -> Result<(), Fault> {
    // Its log goes with it.
    connection.prepare_cached("DELETE FROM dead WHERE id = ?1")?.execute([bounded(id)])?;
    Ok(())
}

fn bare(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: row.get(0)?,
        plugin: row.get(1)?,
        sequence: row.get(2)?,
        attempts: row.get(3)?,
        at_micros: row.get(4)?,
        why: row.get(5)?,
        log: Vec::new(),
    })
}

fn with_log(connection: &Connection, mut letter: DeadLetter) -> Result<DeadLetter, Fault> {
    let mut lines = connection.prepare_cached("SELECT line FROM dead_log WHERE dead = ?1 ORDER BY number")?;
    letter.log = lines.query_map([letter.id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(letter)
}
