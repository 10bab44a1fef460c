//! Events that a plugin is not told one by one, since a later one of the same object tells of them too.

use rusqlite::{Connection, OptionalExtension, params};

use crate::deliveries;
use crate::error::Fault;
use crate::events::bounded;

/// Settles events of which nothing was started by folding them into a later one, whose first attempt begins with that.
pub(crate) fn fold(connection: &Connection, plugin: &str, folded: &[u64], into: u64) -> Result<(), Fault> {
    for sequence in folded {
        // None of them may ever have been started, which is what a first attempt may be.
        deliveries::start(connection, plugin, *sequence, 1)?;
        connection
            .prepare_cached("UPDATE delivery SET state = 'settled' WHERE plugin = ?1 AND sequence = ?2")?
            .execute(params![plugin, sequence])?;
        connection
            .prepare_cached("INSERT INTO folded (plugin, sequence, into_sequence) VALUES (?1, ?2, ?3)")?
            .execute(params![plugin, sequence, into])?;
    }
    deliveries::start(connection, plugin, into, 1)
}

/// The events that were folded into one, in order.
pub(crate) fn folded_into(connection: &Connection, plugin: &str, into: u64) -> Result<Vec<u64>, Fault> {
    let mut select = connection.prepare_cached(
        "SELECT sequence FROM folded WHERE plugin = ?1 AND into_sequence = ?2 ORDER BY sequence",
    )?;
    let rows = select.query_map(params![plugin, bounded(into)], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The event that one was folded into.
pub(crate) fn host_of(connection: &Connection, plugin: &str, sequence: u64) -> Result<Option<u64>, Fault> {
    let mut select =
        connection.prepare_cached("SELECT into_sequence FROM folded WHERE plugin = ?1 AND sequence = ?2")?;
    Ok(select.query_row(params![plugin, bounded(sequence)], |row| row.get(0)).optional()?)
}

/// The lowest event that is needed for another one into which it was folded, and which may still be delivered.
pub(crate) fn lowest_needed(connection: &Connection) -> rusqlite::Result<Option<(u64, String)>> {
    connection
        .prepare_cached(
            "SELECT folded.sequence, folded.plugin FROM folded
             WHERE EXISTS (SELECT 1 FROM delivery WHERE delivery.plugin = folded.plugin
                           AND delivery.sequence = folded.into_sequence AND delivery.state <> 'settled')
             OR EXISTS (SELECT 1 FROM dead WHERE dead.plugin = folded.plugin
                        AND dead.sequence = folded.into_sequence)
             ORDER BY folded.sequence LIMIT 1",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}
