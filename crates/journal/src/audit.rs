//! Who did what: calls of plugins, what came of them, refusals, grants as they were loaded, and what people did. Each row
//! carries a hash of itself and of the one before it.
//!
//! ```text
//!  anchor ──▶ row ──▶ row ──▶ ... ──▶ head        hash(row) = SHA-256(hash before it, all that the row says)
//!  (id, hash of the last row that was removed)     (id, hash of the last row)
//! ```
//!
//! A row that is changed, removed or put in between no longer follows from the one before it. The head is kept beside the
//! rows, so that rows missing at the end are missed. Old rows are removed from the beginning only; the anchor takes the place
//! of the last of them, and a row tells of it. There is no secret in the hash: who may write the file can write it anew from some
//! row on, with the head. That shows to whoever noted an earlier head ([`Head`]) elsewhere and no other way.

mod verify;

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use crate::By;
use crate::error::Fault;
use crate::events::bounded;

pub use verify::Verified;
pub(crate) use verify::verify;

/// So many rows are removed in one piece, so that no write waits for long behind it.
const PIECE: u64 = 5000;
/// What the row that tells of removed rows says was done.
const PRUNED: &str = "audit prune";

/// What is to be written down. Texts mean nothing to the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewAudit {
    /// When, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// What kind of row it is. The journal itself writes `call`, `result` and `action`.
    pub kind: String,
    /// The plugin that it is about; may be empty.
    pub plugin: String,
    /// The person who did it; empty for what a plugin or the daemon did.
    pub who: String,
    /// What was done: a method, a verb.
    pub what: String,
    /// To what; may be empty.
    pub object: String,
    /// For a result: the number of the row of its call.
    pub of: Option<u64>,
    /// What else belongs to it.
    pub details: String,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Its number, from 1 without a hole.
    pub id: u64,
    /// What it says.
    pub entry: NewAudit,
    /// Its hash.
    pub hash: [u8; 32],
    /// For a call, what came of it: when, and the details of that row. Nothing where that is not known, or for another kind.
    pub result: Option<(i64, String)>,
}

/// Which rows are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only those about this plugin.
    pub plugin: Option<String>,
    /// Only those about this object.
    pub object: Option<String>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// Only those from this time on, in microseconds since 1970 UTC.
    pub since_micros: Option<i64>,
}

/// The last row: its number, and its hash, which stands for all rows up to it. Worth noting elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 before the first row.
    pub id: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl std::fmt::Display for Head {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:", self.id)?;
        self.hash.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl std::str::FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no head: write ID:HASH with 64 hexadecimal digits, as it was printed");
        let (id, digits) = text.split_once(':').ok_or_else(wrong)?;
        let id = id.parse().map_err(|_| wrong())?;
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte =
                digits.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()).ok_or_else(wrong)?;
        }
        Ok(Head { id, hash })
    }
}

/// The hash of a row.
fn hash(before: &[u8; 32], id: u64, entry: &NewAudit) -> [u8; 32] {
    let NewAudit { at_micros, kind, plugin, who, what, object, of, details } = entry;
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(id.to_le_bytes());
    hash.update(at_micros.to_le_bytes());
    // No row has the number 0.
    hash.update(of.unwrap_or_default().to_le_bytes());
    for text in [kind, plugin, who, what, object, details] {
        // With its length, so that no letter can move from one text to the next.
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

/// Adds a row and gives its number.
pub(crate) fn append(connection: &Connection, entry: &NewAudit) -> rusqlite::Result<u64> {
    let before = head(connection)?;
    let id = before.id + 1;
    let hash = hash(&before.hash, id, entry);
    let NewAudit { at_micros, kind, plugin, who, what, object, of, details } = entry;
    connection
        .prepare_cached(
            "INSERT INTO audit (id, at_micros, kind, plugin, who, what, object, of, details, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![id, at_micros, kind, plugin, who, what, object, of, details, &hash[..]])?;
    connection
        .prepare_cached("UPDATE audit_chain SET head_id = ?1, head_hash = ?2")?
        .execute(params![id, &hash[..]])?;
    Ok(id)
}

/// The last row.
pub(crate) fn head(connection: &Connection) -> rusqlite::Result<Head> {
    connection
        .prepare_cached("SELECT head_id, head_hash FROM audit_chain")?
        .query_row([], |row| Ok(Head { id: row.get(0)?, hash: row.get(1)? }))
}

/// The last row that was removed; the beginning of the chain where none was.
pub(crate) fn anchor(connection: &Connection) -> rusqlite::Result<Head> {
    connection
        .prepare_cached("SELECT anchor_id, anchor_hash FROM audit_chain")?
        .query_row([], |row| Ok(Head { id: row.get(0)?, hash: row.get(1)? }))
}

/// The newest rows that a filter lets through, newest first, at most `limit`; results stand with their calls.
pub(crate) fn newest(
    connection: &Connection,
    filter: &AuditFilter,
    limit: usize,
) -> Result<Vec<Audited>, Fault> {
    let AuditFilter { plugin, object, kind, since_micros } = filter;
    let mut select = connection.prepare_cached(
        "SELECT audit.id, audit.at_micros, audit.kind, audit.plugin, audit.who, audit.what, audit.object, audit.of,
                audit.details, audit.hash, result.at_micros, result.details
         FROM audit LEFT JOIN audit AS result ON result.of = audit.id
         WHERE audit.of IS NULL AND (?1 IS NULL OR audit.plugin = ?1) AND (?2 IS NULL OR audit.object = ?2)
           AND (?3 IS NULL OR audit.kind = ?3) AND (?4 IS NULL OR audit.at_micros >= ?4)
         ORDER BY audit.id DESC LIMIT ?5",
    )?;
    let rows =
        select.query_map(params![plugin, object, kind, since_micros, bounded(limit as u64)], |row| {
            let mut found = audited(row)?;
            let at: Option<i64> = row.get(10)?;
            found.result = at.map(|at| row.get(11).map(|details| (at, details))).transpose()?;
            Ok(found)
        })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn audited(row: &Row<'_>) -> rusqlite::Result<Audited> {
    Ok(Audited {
        id: row.get(0)?,
        entry: NewAudit {
            at_micros: row.get(1)?,
            kind: row.get(2)?,
            plugin: row.get(3)?,
            who: row.get(4)?,
            what: row.get(5)?,
            object: row.get(6)?,
            of: row.get(7)?,
            details: row.get(8)?,
        },
        hash: row.get(9)?,
        result: None,
    })
}

/// Removes one piece of the rows from before a time, from the beginning, and writes a row that tells of it. Gives how many went,
/// and whether there may be more.
pub(crate) fn prune(connection: &Connection, before_micros: i64, by: &By) -> Result<(u64, bool), Fault> {
    let first = anchor(connection)?.id + 1;
    let end = head(connection)?.id.min(first + PIECE - 1);
    let young: Option<u64> = connection
        .prepare_cached("SELECT id FROM audit WHERE id <= ?1 AND at_micros >= ?2 ORDER BY id LIMIT 1")?
        .query_row(params![end, before_micros], |row| row.get(0))
        .optional()?;
    let through = young.map_or(end, |young| young - 1);
    let last: Option<[u8; 32]> = connection
        .prepare_cached("SELECT hash FROM audit WHERE id = ?1")?
        .query_row([through], |row| row.get(0))
        .optional()?;
    // Nothing is old enough, or there is a hole, which is to be seen and not to be covered.
    let Some(hash) = last.filter(|_| through >= first) else { return Ok((0, false)) };
    let gone = connection.prepare_cached("DELETE FROM audit WHERE id <= ?1")?.execute([through])?;
    connection
        .prepare_cached("UPDATE audit_chain SET anchor_id = ?1, anchor_hash = ?2")?
        .execute(params![through, &hash[..]])?;
    append(
        connection,
        &NewAudit {
            at_micros: by.at_micros,
            kind: "action".to_owned(),
            who: by.who.clone(),
            what: PRUNED.to_owned(),
            object: Head { id: through, hash }.to_string(),
            details: by.reason.clone(),
            ..NewAudit::default()
        },
    )?;
    Ok((gone as u64, young.is_none()))
}
