//! What plugins keep for themselves: keys and values, written only together with the outcome of a delivery.

use rusqlite::{Connection, OptionalExtension, params};

use crate::deliveries::StateWrite;
use crate::error::Fault;

pub(crate) fn write(connection: &Connection, plugin: &str, writes: &[StateWrite]) -> rusqlite::Result<()> {
    for StateWrite { key, value } in writes {
        match value {
            Some(value) => connection
                .prepare_cached(
                    "INSERT INTO state (plugin, key, value) VALUES (?1, ?2, ?3)
                     ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value",
                )?
                .execute(params![plugin, key, value])?,
            None => connection
                .prepare_cached("DELETE FROM state WHERE plugin = ?1 AND key = ?2")?
                .execute(params![plugin, key])?,
        };
    }
    Ok(())
}

pub(crate) fn get(connection: &Connection, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, Fault> {
    let mut select = connection.prepare_cached("SELECT value FROM state WHERE plugin = ?1 AND key = ?2")?;
    Ok(select.query_row([plugin, key], |row| row.get(0)).optional()?)
}

/// The keys that begin with the prefix, in the order of their bytes, after the one given.
///
/// Keys with one prefix lie side by side in that order, so the walk ends at the first that has another.
pub(crate) fn keys(
    connection: &Connection,
    plugin: &str,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, Fault> {
    let mut select = connection.prepare_cached(
        "SELECT key FROM state WHERE plugin = ?1 AND key >= ?2 AND (?3 IS NULL OR key > ?3) ORDER BY key",
    )?;
    let from = after.map_or(prefix, |after| after.max(prefix));
    let mut rows = select.query(params![plugin, from, after])?;
    let mut keys = Vec::new();
    while keys.len() < limit
        && let Some(row) = rows.next()?
    {
        let key: String = row.get(0)?;
        if !key.starts_with(prefix) {
            break;
        }
        keys.push(key);
    }
    Ok(keys)
}
