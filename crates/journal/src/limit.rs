//! How much the journal may hold, and what goes when it holds more: first what nobody needs; then, oldest first, what plugins have
//! not dealt with, and that is on record as a gap.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::Fault;
use crate::events;
use crate::prune;

/// How much the journal may hold. What is left out is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the main file that are in use.
    pub bytes: Option<u64>,
    /// Events.
    pub events: Option<u64>,
}

/// What keeping within the limits came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shrunk {
    /// How many events are gone.
    pub events: u64,
    /// What plugins lost by that. One that lost more right behind what it had lost before is named with all of it.
    pub gaps: Vec<Gap>,
    /// Whether there is more than the limits allow although no event is left to remove.
    pub still_above: bool,
}

/// Events that a plugin did not get and never will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Its number.
    pub id: u64,
    /// The plugin.
    pub plugin: String,
    /// The first event of the range.
    pub first: u64,
    /// The last event of the range.
    pub last: u64,
    /// How many events of the range it had not dealt with. It may not have wanted all of them.
    pub events: u64,
    /// How many dead letters went with them.
    pub dead: u64,
    /// The last event that there was then.
    pub newest: u64,
    /// When, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// Why, in words.
    pub why: String,
}

const SELECT: &str = "SELECT id, plugin, first, last, events, dead, newest, at_micros, why FROM gap";

/// So many events that somebody needs are given up in one piece: not many more than must be.
const LOST_PIECE: u64 = 64;

/// Once above, so much less than the limits is kept, in percent of them, so that it does not begin again at once.
const KEPT_PERCENT: u64 = 90;

impl Limits {
    /// What is to be left once there is too much.
    pub(crate) fn lowered(self) -> Limits {
        let lower = |limit: u64| limit / 100 * KEPT_PERCENT;
        Limits { bytes: self.bytes.map(lower), events: self.events.map(lower) }
    }
}

/// In words, which limit is passed; none when none is.
pub(crate) fn passed(connection: &Connection, limits: Limits) -> Result<Option<String>, Fault> {
    let number = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, u64>(0));
    let used =
        (number("PRAGMA page_count")? - number("PRAGMA freelist_count")?) * number("PRAGMA page_size")?;
    if let Some(limit) = limits.bytes.filter(|limit| used > *limit) {
        return Ok(Some(format!("the journal holds {used} bytes and may hold {limit}")));
    }
    let first = number("SELECT coalesce(min(sequence), 0) FROM event")?;
    let events = if first == 0 { 0 } else { events::last(connection)? + 1 - first };
    if let Some(limit) = limits.events.filter(|limit| events > *limit) {
        return Ok(Some(format!("the journal holds {events} events and may hold {limit}")));
    }
    Ok(None)
}

/// Removes one piece of the oldest events, whoever needs them, and records what each plugin loses. None when there is no event.
pub(crate) fn lose(connection: &Connection, why: &str, at_micros: i64) -> Result<Option<Shrunk>, Fault> {
    let first: Option<u64> =
        connection.prepare_cached("SELECT min(sequence) FROM event")?.query_row([], |row| row.get(0))?;
    let Some(first) = first else { return Ok(None) };
    let newest = events::last(connection)?;
    let through = newest.min(first + LOST_PIECE - 1);
    let mut gaps = Vec::new();
    let mut plugins = connection.prepare_cached("SELECT name, cursor FROM plugin ORDER BY name")?;
    let plugins = plugins.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (plugin, cursor) in plugins.collect::<rusqlite::Result<Vec<(String, u64)>>>()? {
        let count = |sql: &str| {
            connection
                .prepare_cached(sql)?
                .query_row(params![plugin, cursor, through], |row| row.get::<_, u64>(0))
        };
        let settled = count(
            "SELECT count(*) FROM delivery
             WHERE plugin = ?1 AND sequence > ?2 AND sequence <= ?3 AND state = 'settled'",
        )?;
        // Dead letters that come again.
        let open = count(
            "SELECT count(*) FROM delivery
             WHERE plugin = ?1 AND sequence <= ?2 AND sequence <= ?3 AND state <> 'settled'",
        )?;
        let dead = count("SELECT count(*) FROM dead WHERE plugin = ?1 AND ?2 >= 0 AND sequence <= ?3")?;
        let events = through.saturating_sub(cursor).saturating_sub(settled) + open;
        let run = |sql: &str| connection.prepare_cached(sql)?.execute(params![plugin, through]);
        run("DELETE FROM delivery WHERE plugin = ?1 AND sequence <= ?2")?;
        run("DELETE FROM dead WHERE plugin = ?1 AND sequence <= ?2")?;
        run("UPDATE plugin SET cursor = max(cursor, ?2) WHERE name = ?1")?;
        if events + dead > 0 {
            let first = if cursor < through { cursor + 1 } else { first };
            let gap = Gap {
                id: 0,
                plugin,
                first,
                last: through,
                events,
                dead,
                newest,
                at_micros,
                why: why.to_owned(),
            };
            gaps.push(note(connection, gap)?);
        }
    }
    let (events, _) = prune::remove(connection, through)?;
    Ok(Some(Shrunk { events, gaps, still_above: false }))
}

/// Records a gap, as one with that right before it if there is one.
fn note(connection: &Connection, gap: Gap) -> Result<Gap, Fault> {
    let mut select =
        connection.prepare_cached(&format!("{SELECT} WHERE plugin = ?1 ORDER BY id DESC LIMIT 1"))?;
    let before = select.query_row([&gap.plugin], read).optional()?;
    if let Some(before) = before.filter(|before| before.last + 1 == gap.first) {
        let gap = Gap {
            id: before.id,
            first: before.first,
            events: before.events + gap.events,
            dead: before.dead + gap.dead,
            ..gap
        };
        connection
            .prepare_cached(
                "UPDATE gap SET last = ?2, events = ?3, dead = ?4, newest = ?5, at_micros = ?6, why = ?7 WHERE id = ?1",
            )?
            .execute(params![gap.id, gap.last, gap.events, gap.dead, gap.newest, gap.at_micros, gap.why])?;
        return Ok(gap);
    }
    connection
        .prepare_cached(
            "INSERT INTO gap (plugin, first, last, events, dead, newest, at_micros, why)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            gap.plugin,
            gap.first,
            gap.last,
            gap.events,
            gap.dead,
            gap.newest,
            gap.at_micros,
            gap.why
        ])?;
    Ok(Gap { id: u64::try_from(connection.last_insert_rowid()).unwrap_or_default(), ..gap })
}

/// The newest gaps, newest first, of all plugins or of one.
pub(crate) fn gaps(connection: &Connection, plugin: Option<&str>, limit: usize) -> Result<Vec<Gap>, Fault> {
    let mut select = connection
        .prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR plugin = ?1 ORDER BY id DESC LIMIT ?2"))?;
    let gaps = select.query_map(params![plugin, events::bounded(limit as u64)], read)?;
    Ok(gaps.collect::<rusqlite::Result<_>>()?)
}

/// How many events each plugin has lost in all; plugins without any are not named.
pub(crate) fn lost(connection: &Connection) -> Result<Vec<(String, u64)>, Fault> {
    let mut select = connection.prepare_cached("SELECT plugin, sum(events) FROM gap GROUP BY plugin")?;
    let lost = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(lost.collect::<rusqlite::Result<_>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Gap> {
    Ok(Gap {
        id: row.get(0)?,
        plugin: row.get(1)?,
        first: row.get(2)?,
        last: row.get(3)?,
        events: row.get(4)?,
        dead: row.get(5)?,
        newest: row.get(6)?,
        at_micros: row.get(7)?,
        why: row.get(8)?,
    })
}
