//! Who has dealt with which event: cursors, deliveries above them, dead letters.
//!
//! For one plugin and one event a delivery goes
//!
//! ```text
//!   (no row) ── start 1 ──▶ started 1 ── finish done / dead ──▶ settled
//!                            ▲    │
//!                 start n+1 ─┘    └─ finish retry ──▶ retry (not before, why)
//! ```
//!
//! and once everything at or below a number is settled the cursor may move there, and the rows below it go. Three
//! rules hold whatever the caller does: attempt numbers only rise, what is settled stays settled unless an operator
//! makes a dead letter come again (`dead::revive`), and a cursor never passes a delivery that is open.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::{Error, Fault};
use crate::events::{self, bounded};
use crate::{dead, state};

/// How far a plugin has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Every event at or below this number is settled.
    pub cursor: u64,
    /// The deliveries that were started, in the order of their events: those above the cursor, and below it dead letters
    /// that come again. An event above the cursor that is not named here was never started.
    pub open: Vec<OpenDelivery>,
}

/// A delivery above the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDelivery {
    /// The event's number.
    pub sequence: u64,
    /// The last attempt, from 1.
    pub attempt: u32,
    /// The last attempt that is known to have been cut short, or 0: one that was started and followed by another
    /// without an end of its own, or one whose end says so. What is found as [`OpenState::Started`] after an open was
    /// cut short too, and is not counted here yet.
    pub cut_short: u32,
    /// How the last attempt stands.
    pub state: OpenState,
}

/// How the last attempt of a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenState {
    /// It was started and no end of it is recorded. Found after an open, it was cut short.
    Started,
    /// It is to be tried again.
    Retry {
        /// Not before this time, in microseconds since 1970 UTC.
        not_before_micros: i64,
        /// Why the last attempt did not end well.
        why: String,
    },
    /// It is done or given up; only the cursor has not come by yet.
    Settled,
}

/// The end of one attempt. Outcome, state and cursor are written all or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// The plugin's name.
    pub plugin: String,
    /// The event's number.
    pub sequence: u64,
    /// The attempt that ended, from 1. One whose start was never written (the disk was full) counts as started.
    pub attempt: u32,
    /// When it ended, in microseconds since 1970 UTC. Kept with a dead letter.
    pub at_micros: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// What the plugin wrote to its state, applied in this order.
    pub state: Vec<StateWrite>,
    /// Where the cursor is to be afterwards, as with [`Journal::advance`](crate::Journal::advance).
    pub cursor: Option<u64>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// Not well; it is to be tried again.
    Retry {
        /// Not before this time, in microseconds since 1970 UTC.
        not_before_micros: i64,
        /// Why it did not end well.
        why: String,
        /// It was stopped in the middle of its work, so that what it did is only known as far as it is recorded.
        cut_short: bool,
    },
    /// Not well, and it is given up: it becomes a dead letter.
    Dead {
        /// Why it was given up.
        why: String,
        /// The last lines that the plugin logged, oldest first.
        log: Vec<String>,
        /// As with [`Outcome::Retry`]: it matters if the letter is made to come again.
        cut_short: bool,
    },
}

/// One write to a plugin's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateWrite {
    /// The key.
    pub key: String,
    /// The new value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

/// A plugin and its cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginCursor {
    /// The plugin's name.
    pub plugin: String,
    /// Every event at or below this number is settled.
    pub cursor: u64,
}

/// Registers the plugin if it is new, and tells how far it has come.
pub(crate) fn progress(connection: &Connection, plugin: &str, start: u64) -> Result<Progress, Fault> {
    if cursor(connection, plugin)?.is_none() {
        known_event(connection, start)?;
        connection
            .prepare_cached("INSERT INTO plugin (name, cursor) VALUES (?1, ?2)")?
            .execute(params![plugin, start])?;
    }
    let cursor = known_plugin(connection, plugin)?;
    let mut select = connection.prepare_cached(
        "SELECT sequence, attempt, cut_short, state, not_before_micros, why FROM delivery
         WHERE plugin = ?1 ORDER BY sequence",
    )?;
    let open = select.query_map([plugin], open_delivery)?;
    Ok(Progress { cursor, open: open.collect::<rusqlite::Result<_>>()? })
}

/// Records that an attempt begins, and refuses one that is not above every attempt before.
pub(crate) fn start(connection: &Connection, plugin: &str, sequence: u64, attempt: u32) -> Result<(), Fault> {
    match admit(connection, plugin, sequence, attempt)? {
        Admitted::New => mark_started(connection, plugin, sequence, attempt),
        Admitted::Running => {
            Err(Error::StaleAttempt { plugin: plugin.to_owned(), sequence, attempt, known: attempt }.into())
        }
    }
}

/// Makes sure that the attempt is the one that runs. One whose start was not written (it was posted without waiting
/// and met a full disk) is recorded now, so that nothing of an attempt is on disk before its start.
pub(crate) fn ensure_started(
    connection: &Connection,
    plugin: &str,
    sequence: u64,
    attempt: u32,
) -> Result<(), Fault> {
    match admit(connection, plugin, sequence, attempt)? {
        Admitted::New => mark_started(connection, plugin, sequence, attempt),
        Admitted::Running => Ok(()),
    }
}

pub(crate) fn finish(connection: &Connection, finish: &Finish) -> Result<(), Fault> {
    let Finish { plugin, sequence, attempt, outcome, state, cursor, .. } = finish;
    admit(connection, plugin, *sequence, *attempt)?;
    let (name, not_before_micros, why, cut_short) = match outcome {
        Outcome::Retry { not_before_micros, why, cut_short } => {
            ("retry", Some(not_before_micros), Some(why), *cut_short)
        }
        Outcome::Done => ("settled", None, None, false),
        Outcome::Dead { cut_short, .. } => ("settled", None, None, *cut_short),
    };
    connection
        .prepare_cached(
            "INSERT INTO delivery (plugin, sequence, attempt, state, not_before_micros, why, cut_short)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, iif(?7, ?3, 0))
             ON CONFLICT (plugin, sequence) DO UPDATE SET
                 cut_short = CASE
                     WHEN ?7 THEN excluded.attempt
                     WHEN delivery.state = 'started' AND delivery.attempt < excluded.attempt THEN delivery.attempt
                     ELSE delivery.cut_short
                 END,
                 attempt = excluded.attempt, state = excluded.state,
                 not_before_micros = excluded.not_before_micros, why = excluded.why",
        )?
        .execute(params![plugin, sequence, attempt, name, not_before_micros, why, cut_short])?;
    if let Outcome::Dead { why, log, .. } = outcome {
        dead::bury(connection, finish, why, log)?;
    }
    forget_settled(connection, plugin, *sequence)?;
    state::write(connection, plugin, state)?;
    match cursor {
        Some(cursor) => advance(connection, plugin, *cursor),
        None => Ok(()),
    }
}

/// Moves the cursor up. One that is there already, or further, stays.
pub(crate) fn advance(connection: &Connection, plugin: &str, to: u64) -> Result<(), Fault> {
    let from = known_plugin(connection, plugin)?;
    if from >= to {
        return Ok(());
    }
    known_event(connection, to)?;
    let mut select = connection.prepare_cached(
        "SELECT sequence FROM delivery
         WHERE plugin = ?1 AND sequence > ?2 AND sequence <= ?3 AND state <> 'settled' ORDER BY sequence LIMIT 1",
    )?;
    if let Some(sequence) = select.query_row(params![plugin, from, to], |row| row.get(0)).optional()? {
        return Err(Error::Unsettled { plugin: plugin.to_owned(), sequence }.into());
    }
    connection
        .prepare_cached("DELETE FROM delivery WHERE plugin = ?1 AND sequence <= ?2 AND state = 'settled'")?
        .execute(params![plugin, to])?;
    connection
        .prepare_cached("UPDATE plugin SET cursor = ?2 WHERE name = ?1")?
        .execute(params![plugin, to])?;
    Ok(())
}

/// One delivery that has a row: above the cursor, or a dead letter that comes again.
pub(crate) fn delivery(
    connection: &Connection,
    plugin: &str,
    sequence: u64,
) -> Result<Option<OpenDelivery>, Fault> {
    let mut select = connection.prepare_cached(
        "SELECT sequence, attempt, cut_short, state, not_before_micros, why FROM delivery
         WHERE plugin = ?1 AND sequence = ?2",
    )?;
    Ok(select.query_row(params![plugin, bounded(sequence)], open_delivery).optional()?)
}

/// The open deliveries, lowest numbers first, of all plugins or of one.
pub(crate) fn open(
    connection: &Connection,
    plugin: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, OpenDelivery)>, Fault> {
    let mut select = connection.prepare_cached(
        "SELECT sequence, attempt, cut_short, state, not_before_micros, why, plugin FROM delivery
         WHERE state <> 'settled' AND (?1 IS NULL OR plugin = ?1) ORDER BY sequence, plugin LIMIT ?2",
    )?;
    let rows = select
        .query_map(params![plugin, bounded(limit as u64)], |row| Ok((row.get(6)?, open_delivery(row)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn plugins(connection: &Connection) -> Result<Vec<PluginCursor>, Fault> {
    let mut select = connection.prepare_cached("SELECT name, cursor FROM plugin ORDER BY name")?;
    let plugins =
        select.query_map([], |row| Ok(PluginCursor { plugin: row.get(0)?, cursor: row.get(1)? }))?;
    Ok(plugins.collect::<rusqlite::Result<_>>()?)
}

/// An attempt that may go on.
enum Admitted {
    /// Above every attempt on disk.
    New,
    /// The very attempt that is on disk as started.
    Running,
}

/// Whether this attempt may start, act or end, seen from what is on disk.
fn admit(connection: &Connection, plugin: &str, sequence: u64, attempt: u32) -> Result<Admitted, Fault> {
    let settled = || Error::Settled { plugin: plugin.to_owned(), sequence };
    let cursor = known_plugin(connection, plugin)?;
    known_event(connection, sequence)?;
    let mut select = connection.prepare_cached(
        "SELECT attempt, state, not_before_micros, why FROM delivery WHERE plugin = ?1 AND sequence = ?2",
    )?;
    let row = select
        .query_row(params![plugin, sequence], |row| Ok((row.get::<_, u32>(0)?, open_state(row, 1)?)))
        .optional()?;
    if row.is_none() && sequence <= cursor {
        return Err(settled().into());
    }
    let (known, state) = row.unwrap_or((0, OpenState::Started));
    match state {
        OpenState::Settled => Err(settled().into()),
        OpenState::Started | OpenState::Retry { .. } if attempt > known => Ok(Admitted::New),
        OpenState::Started if attempt == known && known > 0 => Ok(Admitted::Running),
        OpenState::Started | OpenState::Retry { .. } => {
            Err(Error::StaleAttempt { plugin: plugin.to_owned(), sequence, attempt, known }.into())
        }
    }
}

/// A dead letter that came again lies at or below the cursor, which has passed by already.
fn forget_settled(connection: &Connection, plugin: &str, sequence: u64) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "DELETE FROM delivery WHERE plugin = ?1 AND sequence = ?2 AND state = 'settled'
             AND sequence <= (SELECT cursor FROM plugin WHERE name = ?1)",
        )?
        .execute(params![plugin, sequence])?;
    Ok(())
}

fn mark_started(connection: &Connection, plugin: &str, sequence: u64, attempt: u32) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO delivery (plugin, sequence, attempt, state) VALUES (?1, ?2, ?3, 'started')
             ON CONFLICT (plugin, sequence) DO UPDATE SET
                 cut_short = iif(delivery.state = 'started', delivery.attempt, delivery.cut_short),
                 attempt = excluded.attempt, state = 'started', not_before_micros = NULL, why = NULL",
        )?
        .execute(params![plugin, sequence, attempt])?;
    Ok(())
}

fn cursor(connection: &Connection, plugin: &str) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT cursor FROM plugin WHERE name = ?1")?
        .query_row([plugin], |row| row.get(0))
        .optional()
}

pub(crate) fn known_plugin(connection: &Connection, plugin: &str) -> Result<u64, Fault> {
    cursor(connection, plugin)?.ok_or_else(|| Error::UnknownPlugin { plugin: plugin.to_owned() }.into())
}

fn known_event(connection: &Connection, sequence: u64) -> Result<(), Fault> {
    let last = events::last(connection)?;
    if sequence > last {
        return Err(Error::UnknownEvent { sequence, last }.into());
    }
    Ok(())
}

fn open_delivery(row: &Row<'_>) -> rusqlite::Result<OpenDelivery> {
    Ok(OpenDelivery {
        sequence: row.get(0)?,
        attempt: row.get(1)?,
        cut_short: row.get(2)?,
        state: open_state(row, 3)?,
    })
}

fn open_state(row: &Row<'_>, at: usize) -> rusqlite::Result<OpenState> {
    let name: String = row.get(at)?;
    match name.as_str() {
        "started" => Ok(OpenState::Started),
        "retry" => Ok(OpenState::Retry { not_before_micros: row.get(at + 1)?, why: row.get(at + 2)? }),
        "settled" => Ok(OpenState::Settled),
        _ => Err(rusqlite::Error::InvalidColumnType(at, name, rusqlite::types::Type::Text)),
    }
}
