//! Removing old events that nobody needs any more, and the calls that were made about them. Only from the beginning, so
//! that what is left has no hole; and only what every plugin has dealt with.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Fault;
use crate::{events, fold};

/// So many events go in one piece, so that no write waits for long behind it.
const PIECE: u64 = 500;
/// So many free pages are given back to the disk with each piece.
const PAGES: u32 = 4000;

/// What pruning came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many events are gone.
    pub events: u64,
    /// How many recorded calls are gone with them.
    pub effects: u64,
    /// What kept older events from going too, in words.
    pub held_by: Option<String>,
}

/// Removes one piece of what happened before a time, and tells whether there may be more.
pub(crate) fn piece(connection: &Connection, before_micros: i64) -> Result<(Pruned, bool), Fault> {
    let first: Option<u64> =
        connection.prepare_cached("SELECT min(sequence) FROM event")?.query_row([], |row| row.get(0))?;
    let Some(first) = first else { return Ok((Pruned::default(), false)) };
    let end = events::last(connection)?.min(first + PIECE - 1);
    let young: Option<u64> = connection
        .prepare_cached(
            "SELECT sequence FROM event WHERE sequence <= ?1 AND at_micros >= ?2 ORDER BY sequence LIMIT 1",
        )?
        .query_row(params![end, before_micros], |row| row.get(0))
        .optional()?;
    let mut through = young.map_or(end, |young| young - 1);
    let mut held_by = None;
    for (needed, by) in needed(connection)? {
        if needed <= through {
            (through, held_by) = (needed - 1, Some(by));
        }
    }
    if through < first {
        return Ok((Pruned { held_by, ..Pruned::default() }, false));
    }
    let (events, effects) = remove(connection, through)?;
    let more = young.is_none() && held_by.is_none();
    Ok((Pruned { events, effects, held_by }, more))
}

/// Removes all events up to a number, with the calls and notes about them; how many events and calls those were.
pub(crate) fn remove(connection: &Connection, through: u64) -> Result<(u64, u64), Fault> {
    let events = connection.prepare_cached("DELETE FROM event WHERE sequence <= ?1")?.execute([through])?;
    // By plugin, as the index has it.
    let effects = connection
        .prepare_cached(
            "DELETE FROM effect WHERE id IN (
                 SELECT effect.id FROM plugin JOIN effect ON effect.plugin = plugin.name AND effect.sequence <= ?1)",
        )?
        .execute([through])?;
    connection
        .prepare_cached(
            "DELETE FROM folded WHERE (plugin, sequence) IN (
                 SELECT folded.plugin, folded.sequence FROM plugin
                 JOIN folded ON folded.plugin = plugin.name AND folded.sequence <= ?1)",
        )?
        .execute([through])?;
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    Ok((events as u64, effects as u64))
}

/// The lowest events that somebody needs, and who that is.
fn needed(connection: &Connection) -> Result<Vec<(u64, String)>, Fault> {
    let lowest = |sql: &str| -> rusqlite::Result<Option<(u64, String)>> {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        connection.prepare_cached(sql)?.query_row([], row).optional()
    };
    let behind = lowest("SELECT cursor, name FROM plugin ORDER BY cursor LIMIT 1")?;
    let open =
        lowest("SELECT sequence, plugin FROM delivery WHERE state <> 'settled' ORDER BY sequence LIMIT 1")?;
    let dead = lowest("SELECT sequence, cast(id AS text) FROM dead ORDER BY sequence LIMIT 1")?;
    let behind = behind.map(|(cursor, plugin)| {
        (cursor + 1, format!("plugin {plugin} has dealt with events up to {cursor} only"))
    });
    let open =
        open.map(|(sequence, plugin)| (sequence, format!("event {sequence} is being delivered to {plugin}")));
    let dead = dead.map(|(sequence, id)| (sequence, format!("event {sequence} is that of dead letter {id}")));
    let folded = fold::lowest_needed(connection)?.map(|(sequence, plugin)| {
        (sequence, format!("event {sequence} is folded into one that {plugin} has not dealt with"))
    });
    Ok([behind, open, dead, folded].into_iter().flatten().collect())
}
