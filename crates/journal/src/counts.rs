//! How much the journal holds, for a status line.

use rusqlite::Connection;

use crate::error::Fault;
use crate::events;

/// How much the journal holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events in the file.
    pub events: u64,
    /// The number of the last event, 0 if there never was one.
    pub last: u64,
    /// Objects in the pictures of all pools.
    pub objects: u64,
    /// Deliveries that were started and are not settled, over all plugins.
    pub open_deliveries: u64,
    /// Dead letters.
    pub dead: u64,
    /// Recorded effects.
    pub effects: u64,
    /// Recorded effects without an outcome.
    pub effects_in_doubt: u64,
    /// Size of the main file in bytes, without the write-ahead log beside it.
    pub bytes: u64,
    /// How much of the main file is free for new entries, in bytes.
    pub free_bytes: u64,
}

pub(crate) fn counts(connection: &Connection) -> Result<Counts, Fault> {
    let number = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, u64>(0));
    let last = events::last(connection)?;
    // Numbers have no holes, so the events are counted without walking them.
    let first = number("SELECT coalesce(min(sequence), 0) FROM event")?;
    let page_bytes = number("PRAGMA page_size")?;
    Ok(Counts {
        events: if first == 0 { 0 } else { last + 1 - first },
        last,
        objects: number("SELECT count(*) FROM object")?,
        open_deliveries: number("SELECT count(*) FROM delivery WHERE state <> 'settled'")?,
        dead: number("SELECT count(*) FROM dead")?,
        effects: number("SELECT count(*) FROM effect")?,
        effects_in_doubt: number("SELECT count(*) FROM effect WHERE outcome IS NULL")?,
        bytes: number("PRAGMA page_count")? * page_bytes,
        free_bytes: number("PRAGMA freelist_count")? * page_bytes,
    })
}
