//! What plugins were about to change, and how it went.
//!
//! An effect is written before the call that it stands for is sent. One without an outcome is a call of which nobody
//! knows whether it happened.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::audit::{self, NewAudit};
use crate::deliveries;
use crate::error::{Error, Fault};
use crate::events::bounded;

/// The number of an effect, rising in the order in which effects were recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub u64);

impl std::fmt::Display for EffectId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A call that is about to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intent {
    /// The plugin that makes the call.
    pub plugin: String,
    /// The event that it is dealing with.
    pub sequence: u64,
    /// The attempt, from 1. It counts as started from now on, if its start was not written yet.
    pub attempt: u32,
    /// The place of the call among the calls of the attempt.
    pub index: u32,
    /// What is called.
    pub method: String,
    /// With what.
    pub arguments: String,
    /// On what; may be empty.
    pub object: String,
    /// The rule that allowed it; empty for one that is only written down, since an earlier attempt made it.
    pub rule: String,
    /// What its row of the audit says beside that.
    pub details: String,
    /// When, in microseconds since 1970 UTC.
    pub at_micros: i64,
}

/// A call that a rule allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The rule.
    pub rule: String,
    /// On what; may be empty.
    pub object: String,
    /// When, in microseconds since 1970 UTC.
    pub at_micros: i64,
}

/// A recorded call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Its number.
    pub id: EffectId,
    /// The plugin that made the call.
    pub plugin: String,
    /// The event that it was dealing with.
    pub sequence: u64,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The place of the call among the calls of the attempt.
    pub index: u32,
    /// What was called.
    pub method: String,
    /// With what.
    pub arguments: String,
    /// On what; may be empty.
    pub object: String,
    /// When it was recorded, in microseconds since 1970 UTC.
    pub intended_at_micros: i64,
    /// How it went; `None` if that was never recorded.
    pub conclusion: Option<Conclusion>,
}

/// How a recorded call went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The outcome, in the caller's own words.
    pub outcome: String,
    /// When it was recorded, in microseconds since 1970 UTC.
    pub at_micros: i64,
}

const SELECT: &str = "SELECT id, plugin, sequence, attempt, call_index, method, arguments,
    intended_at_micros, outcome, concluded_at_micros, object FROM effect";

pub(crate) fn intend(connection: &Connection, intent: &Intent) -> Result<EffectId, Fault> {
    let Intent { plugin, sequence, attempt, index, method, arguments, object, rule, details, at_micros } =
        intent;
    deliveries::ensure_started(connection, plugin, *sequence, *attempt)?;
    let entry = row("call", plugin, method, object, None, details, *at_micros);
    let audit = audit::append(connection, &entry)?;
    let id = connection
        .prepare_cached(
            "INSERT INTO effect (plugin, sequence, attempt, call_index, method, arguments, intended_at_micros,
                                 object, rule, audit)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (plugin, sequence, attempt, call_index) DO NOTHING RETURNING id",
        )?
        .query_row(
            params![plugin, sequence, attempt, index, method, arguments, at_micros, object, rule, audit],
            |row| row.get(0),
        )
        .optional()?;
    // When it is known, the row of the audit goes with the command that failed.
    id.map(EffectId).ok_or_else(|| {
        let (sequence, attempt, index) = (*sequence, *attempt, *index);
        Error::EffectKnown { plugin: plugin.clone(), sequence, attempt, index }.into()
    })
}

fn row(
    kind: &str,
    plugin: &str,
    method: &str,
    object: &str,
    of: Option<u64>,
    details: &str,
    at_micros: i64,
) -> NewAudit {
    NewAudit {
        at_micros,
        kind: kind.to_owned(),
        plugin: plugin.to_owned(),
        who: String::new(),
        what: method.to_owned(),
        object: object.to_owned(),
        of,
        details: details.to_owned(),
    }
}

/// Records the outcome. The first one stays; the same one again is no error.
pub(crate) fn conclude(
    connection: &Connection,
    EffectId(id): EffectId,
    outcome: &str,
    details: &str,
    at_micros: i64,
) -> Result<(), Fault> {
    let known = connection
        .prepare_cached("SELECT outcome, plugin, method, object, audit FROM effect WHERE id = ?1")?
        .query_row([bounded(id)], |effect| {
            let entry = row(
                "result",
                &effect.get::<_, String>(1)?,
                &effect.get::<_, String>(2)?,
                &effect.get::<_, String>(3)?,
                effect.get(4)?,
                details,
                at_micros,
            );
            Ok((effect.get::<_, Option<String>>(0)?, entry))
        })
        .optional()?;
    match known {
        None => Err(Error::UnknownEffect { id }.into()),
        Some((Some(known), _)) if known == outcome => Ok(()),
        Some((Some(_), _)) => Err(Error::EffectConcluded { id }.into()),
        Some((None, entry)) => {
            audit::append(connection, &entry)?;
            connection
                .prepare_cached("UPDATE effect SET outcome = ?2, concluded_at_micros = ?3 WHERE id = ?1")?
                .execute(params![id, outcome, at_micros])?;
            Ok(())
        }
    }
}

pub(crate) fn of_delivery(
    connection: &Connection,
    plugin: &str,
    sequence: u64,
) -> Result<Vec<Effect>, Fault> {
    let mut select = connection.prepare_cached(&format!(
        "{SELECT} WHERE plugin = ?1 AND sequence = ?2 ORDER BY attempt, call_index"
    ))?;
    let effects = select.query_map(params![plugin, bounded(sequence)], effect)?;
    Ok(effects.collect::<rusqlite::Result<_>>()?)
}

/// The calls of a plugin from a time on that its rules allowed.
pub(crate) fn allowed_since(
    connection: &Connection,
    plugin: &str,
    since_micros: i64,
) -> Result<Vec<Allowed>, Fault> {
    let mut select = connection.prepare_cached(
        "SELECT rule, object, intended_at_micros FROM effect
         WHERE plugin = ?1 AND intended_at_micros >= ?2 AND rule <> '' ORDER BY id",
    )?;
    let allowed = select.query_map(params![plugin, since_micros], |row| {
        Ok(Allowed { rule: row.get(0)?, object: row.get(1)?, at_micros: row.get(2)? })
    })?;
    Ok(allowed.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn since(
    connection: &Connection,
    EffectId(after): EffectId,
    limit: usize,
) -> Result<Vec<Effect>, Fault> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE id > ?1 ORDER BY id LIMIT ?2"))?;
    let effects = select.query_map([bounded(after), bounded(limit as u64)], effect)?;
    Ok(effects.collect::<rusqlite::Result<_>>()?)
}

fn effect(row: &Row<'_>) -> rusqlite::Result<Effect> {
    let outcome: Option<String> = row.get(8)?;
    let conclusion = match outcome {
        Some(outcome) => Some(Conclusion { outcome, at_micros: row.get(9)? }),
        None => None,
    };
    Ok(Effect {
        id: EffectId(row.get(0)?),
        plugin: row.get(1)?,
        sequence: row.get(2)?,
        attempt: row.get(3)?,
        index: row.get(4)?,
        method: row.get(5)?,
        arguments: row.get(6)?,
        object: row.get(10)?,
        intended_at_micros: row.get(7)?,
        conclusion,
    })
}
